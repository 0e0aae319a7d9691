"""Geometry of masks: growing, splitting into pieces, and finding a free place for the same shape elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy
import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

from robustbench_cv.boxes import from_mask, to_mask
from robustbench_cv.errors import NotApplicable
from robustbench_cv.noise import Noise

MOST_PIECES = 64
"""A mask in more pieces than this is moved as one."""

TRIALS = 32
"""Random offsets tried before all are searched."""


def scale_length(pixels: float, at: int, height: int, width: int) -> int:
    """A length given for images whose shorter side is `at`, at this size; at least 1."""
    return max(1, round(pixels * min(height, width) / at))


def dilate_mask(mask: Tensor, radius: int) -> Tensor:
    """The mask grown by a disk of this radius in pixels: bool (H, W)."""
    if radius <= 0:
        return mask.clone()
    grown = torch.zeros_like(mask)
    height, width = mask.shape
    radius = min(radius, height + width)  # from there on it is all of the image
    for dy in range(-min(radius, height - 1), min(radius, height - 1) + 1):
        half = math.isqrt(radius * radius - dy * dy)
        rows = max_pool1d(mask.float(), 2 * half + 1, stride=1, padding=half).bool()
        grown |= pad(rows, (0, 0, dy, 0))[:height] if dy >= 0 else pad(rows[-dy:], (0, 0, 0, -dy))
    return grown


def pieces(mask: Tensor) -> list[Tensor]:
    """The connected pieces (8 neighbours) of a mask, the largest first; the mask itself where there are more than 64."""
    import cv2

    count, labels = cv2.connectedComponents(mask.to(torch.uint8).numpy(), connectivity=8)
    if count - 1 > MOST_PIECES:
        return [mask]
    parts = [torch.from_numpy(labels == i) for i in range(1, count)]
    return sorted(parts, key=lambda part: -int(part.sum()))


def bounding_boxes(mask: Tensor) -> Tensor:
    """Each connected piece replaced by its bounding box."""
    out = torch.zeros_like(mask)
    for part in pieces(mask):
        out |= to_mask(from_mask(part), *mask.shape)
    return out


class Moved(NamedTuple):
    """mask: bool (H, W), where a shape was moved to. source: int64 (H, W), the place in the flat image that each of its pixels came from;
    of all other pixels their own."""

    mask: Tensor
    source: Tensor


def place_elsewhere(mask: Tensor, forbidden: Tensor, noise: Noise) -> Tensor:
    """The same shape where it touches nothing forbidden: each connected piece moved on its own, mirrored or not, whole inside the image.

    Every free place is equally likely. Area and outline are kept exactly. NotApplicable where a piece fits nowhere.
    """
    return move_elsewhere(pieces(mask), forbidden, noise).mask


def place_apart(mask: Tensor, forbidden: Tensor, gap: int, noise: Noise) -> Tensor:
    """As `place_elsewhere`, at least `gap` pixels from what is forbidden where there is such a place, else wherever there is one."""
    try:
        return place_elsewhere(mask, dilate_mask(forbidden, gap), noise)
    except NotApplicable:
        return place_elsewhere(mask, forbidden, noise)


def move_elsewhere(parts: Sequence[Tensor], forbidden: Tensor, noise: Noise) -> Moved:
    """As `place_elsewhere`, of masks each of which is moved as one, in the order in which they are given."""
    rng = noise.fork("place").rng()
    taken, out = forbidden.clone(), torch.zeros_like(forbidden)
    source = torch.arange(forbidden.numel()).view(forbidden.shape)
    for part in parts:
        moved = _move(part, taken, rng)
        if moved is None:
            area = int(part.sum())
            raise NotApplicable(f"no object-free place for a control region of the same shape ({area} pixels)")
        out |= moved.mask
        taken |= moved.mask
        source = torch.where(moved.mask, moved.source, source)
    return Moved(out, source)


def _move(part: Tensor, taken: Tensor, rng: numpy.random.Generator) -> Moved | None:
    x1, y1, x2, y2 = (int(v) for v in from_mask(part))
    shape, numbers = part[y1:y2, x1:x2], torch.arange(part.numel()).view(part.shape)[y1:y2, x1:x2]
    options = [(shape, numbers), (shape.flip(1), numbers.flip(1))]
    for option, came_from in options if rng.integers(2) == 0 else options[::-1]:
        place = free_offset(option, taken, rng)
        if place is not None:
            y, x = place
            out, source = torch.zeros_like(part), torch.zeros(part.shape, dtype=torch.long)
            out[y : y + y2 - y1, x : x + x2 - x1] = option
            source[y : y + y2 - y1, x : x + x2 - x1] = came_from
            return Moved(out, source)
    return None


def free_offset(shape: Tensor, taken: Tensor, rng: numpy.random.Generator) -> tuple[int, int] | None:
    """Where (top, left) a shape, bool (h, w), lies inside the image and overlaps nothing taken, bool (H, W): every such place is equally
    likely. None where there is none."""
    return _offset_by_trial(shape, taken, rng) or _offset_by_search(shape, taken, rng)


def _offset_by_trial(shape: Tensor, taken: Tensor, rng: numpy.random.Generator) -> tuple[int, int] | None:
    """A free offset (top, left) by trial; every free one is equally likely, as in the full search, and most images have many."""
    height, width = shape.shape
    ends = [taken.shape[0] - height + 1, taken.shape[1] - width + 1]
    for y, x in rng.integers(ends, size=(TRIALS, 2)).tolist():
        if not bool((taken[y : y + height, x : x + width] & shape).any()):
            return y, x
    return None


def _offset_by_search(shape: Tensor, taken: Tensor, rng: numpy.random.Generator) -> tuple[int, int] | None:
    """A free offset by full search; None where there is none."""
    places = _free(shape, taken).nonzero()
    if not len(places):
        return None
    y, x = (int(v) for v in places[int(rng.integers(len(places)))])
    return y, x


def _free(shape: Tensor, taken: Tensor) -> Tensor:
    """Offsets (top, left) at which the shape overlaps nothing taken: bool (H - h + 1, W - w + 1). Counts every overlap by correlation."""
    size = tuple(taken.shape)
    # In float64 the counts (at most H * W) are exact to far below one half.
    spectrum = torch.fft.rfft2(taken.double()) * torch.fft.rfft2(shape.double(), s=size).conj()
    overlap = torch.fft.irfft2(spectrum, s=size)
    free: Tensor = overlap[: size[0] - shape.shape[0] + 1, : size[1] - shape.shape[1] + 1] < 0.5
    return free
