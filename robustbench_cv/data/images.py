"""The one way from an image file to pixels, and from a mask file to labels."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from robustbench_cv.errors import BadSample
from robustbench_cv.files import open_regular

if TYPE_CHECKING:
    from torch import Tensor  # loaded where there are tensors to make: a report reads pixels alone

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000")
"""What is decoded, by content and not by suffix. Formats that start other programs (EPS) stay out."""

MASK_FORMATS = ("PNG", "TIFF")
"""What keeps class indices as they are."""

EXIF = "exif orientation"
"""Name of a sample's attribute: the EXIF orientation (2 to 8) of an image whose pixels are as stored."""

_UNREAD_SUFFIXES = frozenset((".heic", ".heif", ".tga", ".jxl", ".dng", ".cr2", ".nef", ".arw", ".psd", ".ico", ".exr", ".svg"))

# What Pillow's decoders raise on damaged files; OSError covers missing, truncated and unidentified ones, RuntimeError is AVIF's.
# ImportError is of what others add to Pillow: ultralytics a reader of HEIC, which it imports when nothing else took a file.
_DAMAGE = (
    OSError,
    RuntimeError,
    ImportError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)
_ORIENTATION = 0x0112
_COMPRESSION = 0x0103
_JPEG_IN_TIFF = (6, 7, 34892)
"""Values of TIFF's tag "Compression" that mean JPEG (TIFF 6.0, its Technical Note 2, and DNG's lossy JPEG)."""


@dataclass(frozen=True, eq=False)
class Picture:
    """pixels: float32 RGB (3, H, W) in [0, 1]. orientation: the file's EXIF tag (1 = upright, 2 to 8). turned: whether it was followed."""

    pixels: Tensor
    orientation: int
    turned: bool


def read_image(path: Path, entry: str = "", *, upright: bool = False) -> Tensor:
    """An image file as float32 RGB (3, H, W) in [0, 1]. BadSample, naming the file and `entry`, where it cannot be had.

    Pixels are taken as stored, which is what annotations and published scores refer to; upright=True turns them as EXIF says.
    Transparency is dropped. Single-channel images of 16 bits or of floats have no agreed range and are refused.
    """
    return read_picture(path, entry, upright=upright).pixels


def read_picture(path: Path, entry: str = "", *, upright: bool = False, data: bytes | None = None) -> Picture:
    """As `read_image`, with the orientation that EXIF gives the pixels. data: the bytes of the image, where the file holds it inside."""
    import torch

    with _open_image(path, entry, FORMATS, data) as image:
        if image.mode.startswith(("I", "F")):
            raise BadSample(f"has {image.mode} pixels, whose range is unknown; convert it to 8 bits a channel")
        turned = ImageOps.exif_transpose(image) if upright else image
        # Pillow warns when it turns transparent palettes to RGB directly.
        opaque = turned.convert("RGBA") if turned.mode == "P" else turned
        pixels = numpy.array(opaque.convert("RGB"))
        orientation = _orientation(image)
    return Picture(torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div_(255), orientation, upright and orientation != 1)


def read_pixels(path: Path) -> numpy.ndarray:
    """The 8-bit RGB values of an image file (H, W, 3). BadSample where it cannot be had."""
    with _open_image(path, "", FORMATS) as image:
        return numpy.array(image.convert("RGB"))


def exif_fact(picture: Picture) -> dict[str, str]:
    """The attribute of a sample whose EXIF asks for a turn that its pixels were not given; nothing for all others."""
    return {EXIF: str(picture.orientation)} if picture.orientation != 1 and not picture.turned else {}


def read_mask(path: Path, entry: str = "", *, upright: bool = False, data: bytes | None = None) -> Tensor:
    """A PNG or TIFF whose pixels are class indices (grey, palette or 16 bit): int64 (H, W). See `read_labels`."""
    import torch

    return torch.from_numpy(read_labels(path, entry, upright=upright, data=data))


def read_labels(path: Path, entry: str = "", *, upright: bool = False, data: bytes | None = None) -> numpy.ndarray:
    """The same as an array.

    BadSample for colours, for formats and depths that change indices, or where it cannot be read. upright=True turns a mask that has an
    EXIF orientation of its own. data: the bytes of the mask, where the file holds it inside.
    """
    with _open_image(path, entry, (*MASK_FORMATS, *FORMATS), data) as image:
        if image.format not in MASK_FORMATS:
            raise BadSample(f"is a {image.format}, which does not keep class indices; save masks as PNG")
        if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
            raise BadSample(f"has {image.mode} pixels; a mask is a PNG or TIFF of class indices (grey or palette), 255 = ignore")
        _refuse_changed_indices(image)
        return numpy.array(ImageOps.exif_transpose(image) if upright else image).astype(numpy.int64)


def may_be_image(path: Path) -> bool:
    """Whether a file holds an image of a format that is read, or has the suffix of one that is not."""
    if path.suffix.lower() in _UNREAD_SUFFIXES:
        return True
    try:
        with open_regular(path) as file, _identify(file, FORMATS):
            return True
    except (BadSample, Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError, *_DAMAGE):
        return False


@contextmanager
def _open_image(path: Path, entry: str, formats: tuple[str, ...], data: bytes | None = None) -> Iterator[Image.Image]:
    """The image, not decoded yet, of a size that memory holds. Whatever goes wrong becomes a BadSample that names file and entry."""
    where = f"{_shorten_path(path)} ({entry})" if entry else _shorten_path(path)
    try:
        with warnings.catch_warnings():
            # Of tags that it passes over; many a camera's are odd, and the pixels are what is asked for.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
            with open_regular(path) if data is None else io.BytesIO(data) as file, _identify(file, formats) as image:
                yield image
    except BadSample as error:
        raise BadSample(f"{where} {error}") from error.__cause__
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadSample(
            f"{where} is implausibly large: more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels by its header; scale it down, or leave it out"
        ) from error
    except MemoryError as error:
        raise BadSample(f"{where} needs more memory than there is") from error
    except _DAMAGE as error:
        why = _why(path, error) if data is None else _why_inside(data, error)
        raise BadSample(f"{where} {why}") from error


def _identify(file: BinaryIO, formats: tuple[str, ...]) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow only warns between one and two times its limit.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(file, formats=formats)
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise BadSample(
            f"is implausibly large: {image.width} x {image.height} pixels; the limit is {limit:,}; scale it down, or leave it out"
        )
    return image


def _why_inside(data: bytes, error: Exception) -> str:
    if not data:
        return "is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError | ImportError):
        return f"is no image of a format that is read (it begins with {data[:8]!r})"
    return f"cannot be decoded: {error}"


def _shorten_path(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 240 else f"{text[:120]}...{text[-100:]}"


def _why(path: Path, error: Exception) -> str:
    if os.path.islink(path) and not os.path.exists(path):
        return f"is a link to {os.readlink(path)}, which does not exist"
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if os.path.isdir(path):
        return "is a folder, not an image"
    if not os.path.isfile(path):
        return f"cannot be opened: {error.strerror if isinstance(error, OSError) else error}"
    if os.path.getsize(path) == 0:
        return "is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError | ImportError):
        return _describe_unknown(path)
    return f"cannot be decoded: {error}"


def _describe_unknown(path: Path) -> str:
    """What a file is that no decoder took, as far as its first bytes tell."""
    with open_regular(path) as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the image itself; fetch it with git lfs pull"
    if head.lstrip()[:5].lower() in (b"<!doc", b"<html", b"<?xml"):
        return "is a web page or XML, not an image; was its download answered by an error page?"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        return "is a HEIC image, which is not read; convert it to JPEG or PNG"
    return f"is damaged, or no image of a known format ({', '.join(FORMATS)}; masks: {', '.join(MASK_FORMATS)})"


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none that can be read."""
    try:
        value: Any = image.getexif().get(_ORIENTATION, 1)
    except _DAMAGE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _refuse_changed_indices(image: Image.Image) -> None:
    """BadSample where the decoder hands out other numbers than were stored."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(_COMPRESSION) in _JPEG_IN_TIFF:
        raise BadSample("is a TIFF with JPEG inside, which does not keep class indices; save masks as PNG")
    # Decoders stretch grey of 2 and 4 bits to 0..255, so index 1 would come out as 85 or 17 and the highest as "ignore", and turn white
    # into black where a TIFF counts from white.
    tiles: Any = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else image.mode
    stored = arguments if isinstance(arguments, str) else arguments[0]
    if image.mode in ("1", "L") and stored != image.mode:
        bits = stored.removeprefix("L;")
        what = f"grey of {bits} bits, whose indices decoders rescale" if bits.isdigit() else "grey that decoders turn round"
        raise BadSample(f"is {what}; save it with 8 bits or a palette")
