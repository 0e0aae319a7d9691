"""The one way from an image file to pixels, and from a mask file to labels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from robustbench_cv.errors import BadSample

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""What is decoded, by content and not by suffix. Formats that start other programs (EPS) stay out."""

# What Pillow's decoders raise on damaged files; OSError covers missing, truncated and unidentified ones.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error, zlib.error)


def read_image(path: Path, entry: str = "", *, upright: bool = False) -> Tensor:
    """An image file as float32 RGB (3, H, W) in [0, 1]. BadSample, naming the file and `entry`, where it cannot be had.

    Pixels are taken as stored, which is what annotations and published scores refer to; upright=True turns them as EXIF says.
    Transparency is dropped. Single-channel images of 16 bits or of floats have no agreed range and are refused.
    """
    with _naming(path, entry), Image.open(path, formats=FORMATS) as image:
        _refuse_bomb(image)
        if image.mode.startswith(("I", "F")):
            raise BadSample(f"has {image.mode} pixels, whose range is unknown; convert it to 8 bits a channel")
        turned = ImageOps.exif_transpose(image) if upright else image
        # Pillow warns when it turns transparent palettes to RGB directly.
        opaque = turned.convert("RGBA") if turned.mode == "P" else turned
        pixels = numpy.array(opaque.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div_(255)


def read_mask(path: Path, entry: str = "") -> Tensor:
    """A PNG whose pixels are class indices (grey, palette or 16 bit): int64 (H, W). BadSample for colours, or where it cannot be read."""
    with _naming(path, entry), Image.open(path, formats=("PNG",)) as image:
        _refuse_bomb(image)
        if image.mode not in ("1", "L", "P", "I", "I;16"):
            raise BadSample(f"has {image.mode} pixels; a mask is a PNG of class indices (grey or palette), 255 = ignore")
        if image.mode == "L" and _bits(path) in (2, 4):
            # Decoders stretch these to 0..255, so index 1 would come out as 85 or 17, and the highest as "ignore".
            raise BadSample(f"is a grey PNG of {_bits(path)} bits, whose indices decoders rescale; save it with 8 bits or a palette")
        labels = numpy.array(image).astype(numpy.int64)
    return torch.from_numpy(labels)


def orientation(path: Path) -> int:
    """The EXIF orientation tag (1 = as stored); 1 where there is none. For error messages."""
    with _naming(path, ""), Image.open(path, formats=FORMATS) as image:
        exif = image.getexif()
    return int(exif.get(0x0112, 1))


@contextmanager
def _naming(path: Path, entry: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes a BadSample whose message begins with the file and the entry."""
    where = f"{path} ({entry})" if entry else str(path)
    try:
        yield
    except BadSample as error:
        raise BadSample(f"{where} {error}") from error.__cause__
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadSample(f"{where} is implausibly large: {error}") from error
    except _DAMAGE as error:
        raise BadSample(f"{where} {_why(path, error)}") from error


def _why(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if path.is_dir():
        return "is a folder, not an image"
    if path.is_file() and path.stat().st_size == 0:
        return "is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return f"is damaged, or no image of a known format ({', '.join(FORMATS)}; masks: PNG)"
    return f"cannot be decoded: {error}"


def _refuse_bomb(image: Image.Image) -> None:
    # Pillow only warns between one and two times its limit.
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise BadSample(f"is implausibly large: {image.width} x {image.height} pixels; the limit is {limit}")


def _bits(path: Path) -> int:
    """Bits a sample of a PNG: byte 24, in its header."""
    with path.open("rb") as file:
        return file.read(25)[24]
