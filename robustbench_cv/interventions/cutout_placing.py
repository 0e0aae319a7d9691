"""Where a cut-out object is put, and how large, so that it covers a given share of another object."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from robustbench_cv.boxes import from_mask
from robustbench_cv.interventions.cutouts import Cutout
from robustbench_cv.noise import Noise

TOLERANCE = 0.005
"""Places whose covered share is this close to the wanted one count as equally good (project choice)."""

STEP, MOST_ENLARGED = 1.25, 3.0
"""Occluders that cannot cover the share grow by this factor, to at most so many times their own size (project choices)."""


class Placed(NamedTuple):
    """cutout: at its new size. top, left: of its bounding box, outside the image where negative. share: of the mask that it covers."""

    cutout: Cutout
    top: int
    left: int
    share: float


def place_over(cutout: Cutout, mask: Tensor, share: float, noise: Noise, size: float = 1.0) -> Placed | None:
    """Put an object in front of a mask, bool (H, W), to cover a share of it, in (0, 1]; None where it would have to be enlarged too much.

    It has `size` times the mask's area, more where it could not cover the share else, and comes from a random side: of the places inside
    the image (by its centre) at which the share is met to 0.005, else to the nearest, the one furthest that way (project choices).
    """
    angle = float(noise.fork("side").rng().uniform(0, 2 * math.pi))
    area = int(mask.sum())
    factor = math.sqrt(size * area / cutout.area)
    while factor <= MOST_ENLARGED:
        made = cutout.scaled(factor)
        if made.mask.any():
            placed = _slide(made, mask, share, angle)
            if placed is not None:
                return placed
        factor *= STEP
    return None


def _slide(cutout: Cutout, mask: Tensor, share: float, angle: float) -> Placed | None:
    """The best place at this size; None where the object is too small to cover the share anywhere."""
    counts, top, left = covered_counts(cutout.mask, mask)
    shares = counts.double() / int(mask.sum())
    off = (shares - share).abs()
    y, x = torch.meshgrid(torch.arange(counts.shape[0]) + top, torch.arange(counts.shape[1]) + left, indexing="ij")
    down, right = y + cutout.mask.shape[0] / 2, x + cutout.mask.shape[1] / 2
    inside = (down >= 0) & (down <= mask.shape[0]) & (right >= 0) & (right <= mask.shape[1])
    if not inside.any() or float(shares[inside].max()) < share - TOLERANCE:
        return None
    best = float(off[inside].min())
    good = inside & (off <= max(best, TOLERANCE))
    x1, y1, x2, y2 = from_mask(mask).double().tolist()
    forth = (down - (y1 + y2) / 2) * math.sin(angle) + (right - (x1 + x2) / 2) * math.cos(angle)
    # Rounded, so that the last bit of a sine decides nothing.
    row, column = numpy.unravel_index(int((forth * 64).round().masked_fill(~good, -torch.inf).argmax()), counts.shape)
    return Placed(cutout, int(row) + top, int(column) + left, float(shares[row, column]))


def covered_counts(shape: Tensor, mask: Tensor) -> tuple[Tensor, int, int]:
    """How many pixels of a mask, bool (H, W), a shape, bool (h, w), covers with its corner at each place where the two can meet: int64
    (rows, columns), and the place (top, left) of the first of them."""
    x1, y1, x2, y2 = (int(v) for v in from_mask(mask))
    height, width = shape.shape
    size = (y2 - y1 + height - 1, x2 - x1 + width - 1)
    # The correlation is a convolution with the shape turned around; in float64 its counts are exact to far below one half.
    spectrum = torch.fft.rfft2(mask[y1:y2, x1:x2].double(), s=size) * torch.fft.rfft2(shape.flip(0, 1).double(), s=size)
    return torch.fft.irfft2(spectrum, s=size).round().long(), y1 - height + 1, x1 - width + 1
