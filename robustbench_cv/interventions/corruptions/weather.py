"""Weather: snow, frost, fog and spatter of ImageNet-C (arXiv:1903.12261)."""

from __future__ import annotations

import cv2
import numpy

from robustbench_cv.interventions.corruptions.blur import along_line, magnified, smooth
from robustbench_cv.interventions.corruptions.pixel_noise import Image


def snow(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Flakes that fall in one direction and, turned by half a circle, in its opposite, on a whitened image."""
    mean, deviation, zoom, least, radius, length, kept = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[severity - 1]
    flakes = magnified((mean + deviation * rng.standard_normal(image.shape[:2], dtype=numpy.float32)).astype(numpy.float32), zoom)
    flakes = numpy.where(flakes < least, numpy.float32(0), flakes).clip(0, 1)
    flakes = along_line(flakes, radius, length, rng.uniform(-135, -45))
    flakes = (numpy.round(flakes * 255) / 255).astype(numpy.float32)[..., None]
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    whitened: Image = kept * image + (1 - kept) * numpy.maximum(image, gray * 1.5 + 0.5)
    return whitened + flakes + flakes[::-1, ::-1]


def frost(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """The image behind ice, with the published weights of both.

    ImageNet-C lays photographs of frost over its images, which no package may pass on under this one's licence; this ice is grown from
    noise, its brightness that of a frosted pane (project choices). Its numbers compare with each other, not with published ones of frost.
    """
    weight, ice = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[severity - 1]
    return numpy.float32(weight) * image + numpy.float32(ice) * _ice(image.shape[0], image.shape[1], rng)


def fog(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """A plasma fractal of this strength on the image, scaled back to the image's brightest value."""
    strength, decay = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))[severity - 1]
    side = 1 << (max(image.shape[:2]) - 1).bit_length()
    brightest = float(image.max())
    cloud = plasma(side, decay, rng)[: image.shape[0], : image.shape[1], None]
    return (image + strength * cloud) * numpy.float32(brightest / (brightest + strength))


def spatter(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Drops of water on the lens, or of mud from severity 4 on."""
    mean, deviation, size, least, amount, is_mud = (
        (0.65, 0.3, 4, 0.69, 0.6, False),
        (0.65, 0.3, 3, 0.68, 0.6, False),
        (0.65, 0.3, 2, 0.68, 0.5, False),
        (0.65, 0.3, 1, 0.65, 1.5, True),
        (0.67, 0.4, 1, 0.65, 1.5, True),
    )[severity - 1]
    liquid = smooth((mean + deviation * rng.standard_normal(image.shape[:2], dtype=numpy.float32)).astype(numpy.float32), size)
    liquid[liquid < least] = 0
    if is_mud:
        cover = smooth((liquid > least).astype(numpy.float32), amount)
        cover = numpy.where(cover < 0.8, numpy.float32(0), cover)[..., None]
        return image * (1 - cover) + cover * numpy.array([63, 42, 20], dtype=numpy.float32) / 255
    drops = _shaded((liquid * 255).astype(numpy.uint8))
    return image + (amount * drops)[..., None] * numpy.array([175, 238, 238], dtype=numpy.float32) / 255


def _shaded(liquid: numpy.ndarray) -> Image:
    """Drops (H, W) uint8, brighter towards their lower right edge: at most 1, nothing where there is no drop."""
    distance = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    distance = cv2.equalizeHist(cv2.blur(distance.clip(max=20), (3, 3)).astype(numpy.uint8))
    relief = numpy.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], dtype=numpy.float32)
    shaded = liquid * cv2.blur(cv2.filter2D(distance, cv2.CV_8U, relief), (3, 3)).astype(numpy.float32)
    most = float(shaded.max())
    return numpy.asarray(shaded / most if most else shaded, dtype=numpy.float32)


def plasma(side: int, decay: float, rng: numpy.random.Generator) -> Image:
    """A height map (side, side) in [0, 1] by the diamond-square algorithm, whose edges meet. side: a power of two.

    At each halving the random part falls by `decay`; it is drawn from the square of the amplitude, as the published code does.
    """
    heights = numpy.zeros((side, side), dtype=numpy.float32)
    step, amplitude = side, 100.0
    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        total = corners + numpy.roll(corners, -1, 0)
        total = total + numpy.roll(total, -1, 1)
        heights[half::step, half::step] = _jittered(total, amplitude, rng)
        middles = heights[half::step, half::step]
        above = middles + numpy.roll(middles, 1, 0) + corners + numpy.roll(corners, -1, 1)
        beside = middles + numpy.roll(middles, 1, 1) + corners + numpy.roll(corners, -1, 0)
        heights[::step, half::step] = _jittered(above, amplitude, rng)
        heights[half::step, ::step] = _jittered(beside, amplitude, rng)
        step, amplitude = half, amplitude / decay
    heights -= heights.min()
    height: Image = heights / heights.max()
    return height


def _jittered(total: Image, amplitude: float, rng: numpy.random.Generator) -> Image:
    return total / 4 + numpy.float32(amplitude**2) * (2 * rng.random(total.shape, dtype=numpy.float32) - 1)


def _ice(height: int, width: int, rng: numpy.random.Generator) -> Image:
    """Feathers of ice (H, W, 3): ridges of noise that is drawn out in a few directions, thickest at one corner, bluish white."""
    side = 1 << (max(height, width) - 1).bit_length()
    ridges = numpy.zeros((height, width), dtype=numpy.float32)
    for angle in rng.uniform(0, 180, size=4):
        rough = plasma(side, 1.4, rng)[:height, :width]
        drawn = along_line(rough, max(4, min(height, width) // 16), max(3.0, min(height, width) / 24), float(angle))
        spread = float(drawn.std()) or 1.0
        ridges = numpy.maximum(ridges, numpy.exp(-(((drawn - drawn.mean()) / (0.35 * spread)) ** 2)))
    thickness = plasma(side, 3.0, rng)[:height, :width]
    ice = (0.25 + 0.45 * ridges * (0.4 + 0.6 * thickness) + 0.2 * thickness).clip(0, 1)
    return ice[..., None] * numpy.array([0.88, 0.95, 1.0], dtype=numpy.float32)
