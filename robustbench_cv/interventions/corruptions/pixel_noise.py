"""Noise on single pixels: Gaussian, shot, impulse and speckle noise of ImageNet-C (Hendrycks, Dietterich 2019, arXiv:1903.12261).

Images in this package's files are float32 (H, W, 3) in [0, 1]; a result may leave that range, and is clipped and rounded to 8 bits later.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy
from numpy.typing import NDArray

Image: TypeAlias = NDArray[numpy.floating[Any]]


def gaussian_noise(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Normal noise of this deviation on every value."""
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    return image + numpy.float32(deviation) * rng.standard_normal(image.shape, dtype=numpy.float32)


def shot_noise(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """So many photons at full brightness: Poisson counts."""
    photons = (60, 25, 12, 5, 3)[severity - 1]
    return (rng.poisson(image * photons) / photons).astype(numpy.float32)


def impulse_noise(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """This share of the values becomes 0 or 1, as often the one as the other."""
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    drawn = rng.random(image.shape, dtype=numpy.float32)
    noisy = numpy.where(drawn < amount / 2, numpy.float32(0), image)
    return numpy.where(drawn > 1 - amount / 2, numpy.float32(1), noisy)


def speckle_noise(image: Image, severity: int, rng: numpy.random.Generator) -> Image:
    """Normal noise in proportion to each value."""
    deviation = (0.15, 0.2, 0.35, 0.45, 0.6)[severity - 1]
    return image * (1 + numpy.float32(deviation) * rng.standard_normal(image.shape, dtype=numpy.float32))
