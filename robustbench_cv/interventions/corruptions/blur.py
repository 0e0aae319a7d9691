"""Blur: defocus, glass, motion, zoom and Gaussian blur of ImageNet-C (arXiv:1903.12261); motion as Michaelis et al. do (1907.07484)."""

from __future__ import annotations

import cv2
import numpy

from robustbench_cv.interventions.corruptions.pixel_noise import Image


def gaussian_blur(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """A Gaussian of this deviation in px."""
    return smooth(image, (1, 2, 3, 4, 6)[severity - 1])


def defocus_blur(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """A disk of this radius in px, its edge softened by a Gaussian."""
    radius, softness = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[severity - 1]
    reach = max(8, radius)
    offsets = numpy.arange(-reach, reach + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(numpy.float32)
    side = 3 if radius <= 8 else 5
    kernel = cv2.GaussianBlur(disk / disk.sum(), (side, side), softness)
    return numpy.asarray(cv2.filter2D(image, -1, kernel), dtype=numpy.float32)


def glass_blur(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Each pixel becomes one of its neighbourhood, from the last to the first, between two Gaussian blurs.

    The published loop means to swap two pixels, but copies one over the other, as arrays of numpy do; so does this.
    """
    deviation, reach, times = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[severity - 1]
    height, width = image.shape[:2]
    rows = numpy.arange(height - reach, reach, -1)[:, None]
    columns = numpy.arange(width - reach, reach, -1)[None, :]
    written = (rows * width + columns).ravel().tolist()
    source = list(range(height * width))
    for _ in range(times):
        down, right = rng.integers(-reach, reach, size=(2, rows.size, columns.size))
        read = ((rows + down) * width + columns + right).ravel().tolist()
        for target, neighbour in zip(written, read, strict=True):
            source[target] = source[neighbour]
    shuffled = numpy.floor(smooth(image, deviation) * 255).reshape(height * width, 3)[source].reshape(image.shape) / 255
    return smooth(shuffled.astype(numpy.float32), deviation)


def motion_blur(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Along a line at a random angle within 45 degrees of the horizontal."""
    radius, deviation = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[severity - 1]
    return along_line(image, radius, deviation, rng.uniform(-45, 45))


def zoom_blur(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """The mean of the image and of its magnifications up to this one."""
    most, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[severity - 1]
    factors = numpy.arange(1, most, step)
    total = image.copy()
    for factor in factors:
        total += magnified(image, float(factor))
    return total / numpy.float32(len(factors) + 1)


def smooth(image: Image, deviation: float) -> Image:
    """A Gaussian that ends at four deviations; beyond the image its edge goes on. image: (H, W) or (H, W, C)."""
    side = 2 * int(4 * deviation + 0.5) + 1
    return numpy.asarray(cv2.GaussianBlur(image, (side, side), deviation, borderType=cv2.BORDER_REPLICATE), dtype=numpy.float32)


def along_line(image: Image, radius: int, deviation: float, angle: float) -> Image:
    """Moved along a line, by half a Gaussian of this deviation that ends at 2 * radius px; beyond the image its edge goes on.

    angle: degrees. image: (H, W) or (H, W, 3).
    """
    distance = numpy.arange(2 * radius + 1)
    weight = numpy.exp(-(distance**2) / (2 * deviation**2))
    weight /= weight.sum()
    down, right = (-numpy.ceil(distance * f(numpy.deg2rad(angle)) - 0.5).astype(int) for f in (numpy.sin, numpy.cos))
    height, width = image.shape[:2]
    # the motion ends where it would leave the image
    beyond = (abs(down) >= height) | (abs(right) >= width)
    count = int(beyond.argmax()) if beyond.any() else len(distance)
    reach = int(max(abs(down[:count]).max(), abs(right[:count]).max()))
    wide = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    blurred = numpy.zeros_like(image)
    for share, y, x in zip(weight[:count], down, right, strict=False):
        blurred += numpy.float32(share) * wide[reach - y : reach - y + height, reach - x : reach - x + width]
    return blurred


def magnified(image: Image, factor: float) -> Image:
    """The middle of an image, enlarged to the image's size; where rounding leaves less than that, the image itself stays.

    image: (H, W) or (H, W, C). Linear, corners on corners, as scipy.ndimage.zoom(order=1).
    """
    height, width = image.shape[:2]
    part = [int(numpy.ceil(side / factor)) for side in (height, width)]
    top, left = (height - part[0]) // 2, (width - part[1]) // 2
    out = image[top : top + part[0], left : left + part[1]]
    for axis, side in enumerate(part):
        size = round(side * factor)
        place = numpy.linspace(0, side - 1, size)[: image.shape[axis]]
        low = numpy.minimum(place.astype(int), max(0, side - 2))
        share = (place - low).astype(numpy.float32).reshape((-1, *(1,) * (image.ndim - 1 - axis)))
        first, second = numpy.take(out, low, axis), numpy.take(out, numpy.minimum(low + 1, side - 1), axis)
        out = first + share * (second - first)
    if out.shape == image.shape:
        return numpy.asarray(out, dtype=numpy.float32)
    whole = image.copy()
    whole[: out.shape[0], : out.shape[1]] = out
    return whole
