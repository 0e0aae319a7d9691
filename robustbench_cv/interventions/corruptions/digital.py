"""Digital: brightness, contrast, saturation, elastic transform, pixelation and JPEG of ImageNet-C (arXiv:1903.12261).

Elastic transform and pixelation as in imagecorruptions (arXiv:1907.07484), which serves any size.
"""

from __future__ import annotations

import io

import cv2
import numpy
import PIL.Image

from robustbench_cv.interventions.corruptions.pixel_noise import Image


def brightness(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """The value of HSV raised, hue and saturation as they are."""
    value = image.max(axis=2, keepdims=True)
    raised = (value + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1]).clip(max=1)
    brighter: Image = numpy.where(value > 0, image * raised / numpy.maximum(value, 1e-12), raised).astype(numpy.float32)
    return brighter


def contrast(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Every value drawn towards the mean of its channel."""
    mean = image.mean(axis=(0, 1), keepdims=True, dtype=numpy.float64).astype(numpy.float32)
    flatter: Image = (image - mean) * numpy.float32((0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]) + mean
    return flatter


def saturate(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """The saturation of HSV, times one number plus another; grey has the hue of red, as in the published code."""
    factor, added = ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))[severity - 1]
    value = image.max(axis=2, keepdims=True)
    spread = value - image.min(axis=2, keepdims=True)
    saturation = spread / numpy.maximum(value, 1e-12)
    wanted = (saturation * factor + added).clip(0, 1)
    coloured = value - (value - image) * wanted / numpy.maximum(saturation, 1e-12)
    red = value * (1 - wanted * numpy.array([0, 1, 1], dtype=numpy.float32))
    saturated: Image = numpy.where(spread > 0, coloured, red).astype(numpy.float32)
    return saturated


def elastic_transform(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Each pixel moved by smoothed noise, whose reach and width follow the image's size. Boxes and masks stay where they are."""
    height, width = image.shape[:2]
    strength = 250 * (0.05, 0.065, 0.085, 0.1, 0.12)[severity - 1]
    moved = [strength * _smooth_field(height, width, 0.005 * height, rng) for _ in range(2)]
    rows = numpy.arange(height, dtype=numpy.float32)[:, None] + moved[1]
    columns = numpy.arange(width, dtype=numpy.float32)[None, :] + moved[0]
    return bilinear(image, rows, columns)


def pixelate(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Shrunk by averages of boxes and enlarged by repeating pixels."""
    height, width = image.shape[:2]
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[severity - 1]
    small = _to_picture(image).resize((int(width * share), int(height * share)), PIL.Image.Resampling.BOX)
    return _from_picture(small.resize((width, height), PIL.Image.Resampling.NEAREST))


def jpeg_compression(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Written and read as JPEG of this quality."""
    stream = io.BytesIO()
    _to_picture(image).save(stream, "JPEG", quality=(25, 18, 15, 10, 7)[severity - 1])
    return _from_picture(PIL.Image.open(stream))


def bilinear(image: Image, rows: Image, columns: Image) -> Image:
    """The image (H, W, 3) at these places in px; beyond it the image goes on as in a mirror that repeats the edge."""
    height, width = image.shape[:2]
    top, left = numpy.floor(rows).astype(int), numpy.floor(columns).astype(int)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    y0, y1, x0, x1 = _mirrored(top, height), _mirrored(top + 1, height), _mirrored(left, width), _mirrored(left + 1, width)
    upper = image[y0, x0] * (1 - right) + image[y0, x1] * right
    lower = image[y1, x0] * (1 - right) + image[y1, x1] * right
    return numpy.asarray(upper * (1 - down) + lower * down, dtype=numpy.float32)


def _mirrored(places: numpy.ndarray, side: int) -> numpy.ndarray:
    """Positions in 0..side-1 that those beyond are the mirror image of."""
    inside: numpy.ndarray = places % (2 * side)
    return numpy.where(inside < side, inside, 2 * side - 1 - inside)


def _smooth_field(height: int, width: int, reach: float, rng: numpy.random.Generator) -> Image:
    """Uniform noise in [-reach, reach), smoothed by a Gaussian of 1 % of each side that ends at three deviations."""
    noise = (reach * (2 * rng.random((height, width), dtype=numpy.float32) - 1)).astype(numpy.float32)
    down, right = 0.01 * height, 0.01 * width
    sides = 2 * int(3 * right + 0.5) + 1, 2 * int(3 * down + 0.5) + 1
    return numpy.asarray(cv2.GaussianBlur(noise, sides, sigmaX=right, sigmaY=down, borderType=cv2.BORDER_REFLECT), dtype=numpy.float32)


def _to_picture(image: Image) -> PIL.Image.Image:
    return PIL.Image.fromarray((image * 255).round().clip(0, 255).astype(numpy.uint8))


def _from_picture(picture: PIL.Image.Image) -> Image:
    return numpy.asarray(picture, dtype=numpy.float32) / 255
