"""Images small enough for a page: lossy copies, each stored once however often it is shown. The run folder keeps the exact ones."""

from __future__ import annotations

import base64
import hashlib
import io
import re

import numpy
from PIL import Image, features

from robustbench_cv.palette import class_colour, rgb
from robustbench_cv.types import IGNORE

LARGEST_SIDE = 320
"""Pixels; larger images are made smaller."""

_SYMBOL = re.compile(r'<symbol id="(i-[0-9a-f]{16})".*?</symbol>\n?', re.DOTALL)


def data_uri(pixels: numpy.ndarray, quality: int = 82) -> str:
    """uint8 (H, W, 3) as a data URI no larger than LARGEST_SIDE: WebP, JPEG where Pillow has none."""
    image = _small(Image.fromarray(pixels), Image.Resampling.LANCZOS)
    webp = features.check("webp")
    out = io.BytesIO()
    if webp:
        image.save(out, "WEBP", quality=quality, method=4)
    else:
        image.save(out, "JPEG", quality=quality)
    return _uri("webp" if webp else "jpeg", out.getvalue())


def mask_uri(labels: numpy.ndarray) -> str:
    """int (H, W) class indices as a PNG of their colours; what is ignored, or of no class, is transparent."""
    known = (labels >= 0) & (labels != IGNORE)
    seen = numpy.unique(labels[known])[:255]
    index = numpy.zeros(labels.shape, dtype=numpy.uint8)
    for k, label in enumerate(seen.tolist(), start=1):
        index[labels == label] = k
    image = Image.fromarray(index, mode="P")
    image.putpalette([0, 0, 0, *(part for label in seen.tolist() for part in rgb(class_colour(label)))])
    out = io.BytesIO()
    _small(image, Image.Resampling.NEAREST).save(out, "PNG", optimize=True, transparency=0)
    return _uri("png", out.getvalue())


def symbol(uri: str, width: int, height: int, *, smooth: bool = True) -> tuple[str, str]:
    """An image as a <symbol> that <use> can show anywhere on the page: its id, which its content decides, and the element."""
    name = f"i-{hashlib.sha256(uri.encode()).hexdigest()[:16]}"
    drawn = "" if smooth else ' style="image-rendering:pixelated"'
    image = f'<image href="{uri}" width="{width}" height="{height}" preserveAspectRatio="none"{drawn}/>'
    return name, f'<symbol id="{name}" viewBox="0 0 {width} {height}" preserveAspectRatio="none">{image}</symbol>'


def without_repeats(page: str) -> str:
    """A page on which each symbol is defined once, where it comes first.

    >>> one = symbol("data:,", 1, 1)[1]
    >>> without_repeats(one + one) == one
    True
    """
    seen: set[str] = set()

    def keep(found: re.Match[str]) -> str:
        if found[1] in seen:
            return ""
        seen.add(found[1])
        return found[0]

    return _SYMBOL.sub(keep, page)


def _small(image: Image.Image, filter_: Image.Resampling) -> Image.Image:
    longest = max(image.size)
    if longest <= LARGEST_SIDE:
        return image
    width, height = (max(1, round(side * LARGEST_SIDE / longest)) for side in image.size)
    return image.resize((width, height), filter_)


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
