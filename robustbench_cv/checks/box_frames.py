"""In which frame a detector's boxes lie: another input size, a letterbox left in, mirrored, or some pixels off, learned from what it finds.

Where an image holds one object of a class, and the model's surest box of this class stands for it, the two say how coordinates of one
frame become coordinates of the other: x' = scale * x + offset on each axis, wherever the boxes lie. Sides of boxes may have a scale of
their own, about the boxes' centres (half sides taken for sides, a stride forgotten). What is learned on one half of the images must make
boxes fit better on the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from robustbench_cv.types import BoxPrediction, BoxTarget, Sample

_LEAST_PAIRS = 6
"""Pairs from which a frame is learned (project choice)."""
_ROUNDS = 5


class Frame(NamedTuple):
    """x' = scale * x + offset. scale, offset: (2,), of x and of y; the offset in pixels, or in shares of the image's sides.

    sides: (2,), by what boxes' sides are multiplied about their centres after that; 1 where sides scale as places do.
    """

    scale: Tensor
    offset: Tensor
    shares: bool
    sides: Tensor

    def __call__(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """Boxes (N, 4) of an image of this size, in the frame of the annotations."""
        unit = boxes.new_tensor([width, height]) if self.shares else boxes.new_ones(2)
        corners = boxes.reshape(-1, 2, 2) / unit * self.scale.to(boxes) + self.offset.to(boxes)
        centres = corners.mean(1, keepdim=True)
        corners = (centres + (corners - centres) * self.sides.to(boxes)) * unit
        return torch.cat([corners.amin(1), corners.amax(1)], 1)

    @property
    def keeps_sides(self) -> bool:
        """Whether boxes' sides scale as places do."""
        return bool((self.sides == 1).all())

    @property
    def code(self) -> str:
        """The same as Python about `boxes` (..., 4), `height` and `width`."""
        scale, offset = (f"boxes.new_tensor([{v[0]:.4g}, {v[1]:.4g}])" for v in (self.scale.tolist(), self.offset.tolist()))
        sides = " * boxes.new_tensor([width, height])" if self.shares else ""
        lines = [f"corners = boxes.unflatten(-1, (2, 2)) * {scale} + {offset}{sides}"]
        if not self.keeps_sides:
            about = f"boxes.new_tensor([{', '.join(f'{v:.4g}' for v in self.sides.tolist())}])"
            lines += ["centres = corners.mean(-2, keepdim=True)", f"corners = centres + (corners - centres) * {about}"]
        return "; ".join([*lines, "boxes = torch.cat([corners.amin(-2), corners.amax(-2)], -1)"])

    def __str__(self) -> str:
        unit = " of the side" if self.shares else " px"
        axes = (
            f"{axis}' = {s:.3g} {axis} {o:+.3g}{unit}" for axis, s, o in zip("xy", self.scale.tolist(), self.offset.tolist(), strict=True)
        )
        grown = "" if self.keeps_sides else "; sides of boxes times " + " and ".join(f"{v:.3g}" for v in self.sides.tolist())
        return ", ".join(axes) + (f"{grown} about their centres" if grown else "")


class Pair(NamedTuple):
    """The model's box and the annotated one of the same object, (4,), in an image of this height and width."""

    said: Tensor
    truth: Tensor
    height: int
    width: int


def pairs_of(sample: Sample, said: BoxPrediction) -> list[Pair]:
    """Of every class with one object in the image, the object and the model's surest box of the class."""
    assert isinstance(sample.target, BoxTarget)
    found = []
    for label in sorted(set(sample.target.labels[~sample.target.crowd].tolist())):
        truth = sample.target.boxes[(sample.target.labels == label) & ~sample.target.crowd]
        boxes = said.boxes[said.labels == label]
        if len(truth) == 1 and len(boxes):
            found.append(Pair(boxes[0].float().cpu(), truth[0].float(), *sample.image.shape[-2:]))
    return found


def learn(pairs: Sequence[Pair], *, shares: bool) -> Frame | None:
    """The frame that most pairs agree on: the median of the lines through two pairs, then least squares on the half that fits best."""
    if len(pairs) < _LEAST_PAIRS:
        return None
    axes = [_axis(pairs, axis, shares=shares) for axis in (0, 1)]
    scale, offset = torch.tensor(axes).T
    return Frame(scale, offset, shares, torch.tensor([_side(pairs, axis, abs(axes[axis][0])) for axis in (0, 1)]))


def _axis(pairs: Sequence[Pair], axis: int, *, shares: bool) -> tuple[float, float]:
    """(scale, offset) of the centres and extents of boxes along an axis."""
    unit = [(p.width, p.height)[axis] if shares else 1 for p in pairs]
    said = numpy.array([[float(p.said[axis]) / u, float(p.said[axis + 2]) / u] for p, u in zip(pairs, unit, strict=True)])
    truth = numpy.array([[float(p.truth[axis]) / u, float(p.truth[axis + 2]) / u] for p, u in zip(pairs, unit, strict=True)])
    x, y = said.mean(1), truth.mean(1)
    # Theil-Sen: the median slope of all pairs of centres that lie apart; every other pair of an outlier is as good as none.
    i, j = numpy.triu_indices(len(x), 1)
    apart = numpy.abs(x[i] - x[j]) > 0.1 * max(numpy.ptp(x), 1e-9)
    if not apart.any():
        return 1.0, float(numpy.median(y - x))
    scale = float(numpy.median((y[i] - y[j])[apart] / (x[i] - x[j])[apart]))
    offset = float(numpy.median(y - scale * x))
    for _ in range(_ROUNDS):
        off = numpy.abs(y - scale * x - offset)
        kept = off <= numpy.quantile(off, 0.5)
        if kept.sum() < 3 or numpy.ptp(x[kept]) < 1e-9:
            break
        scale, offset = (float(v) for v in numpy.polyfit(x[kept], y[kept], 1))
    return scale, offset


_NOTABLE_SIDES = 0.15
"""By how much boxes' sides must be off, where places are not, to be given a scale of their own (project choice): sound detectors draw
boxes a few percent too tight or too loose."""


def _side(pairs: Sequence[Pair], axis: int, scale: float) -> float:
    """By what boxes' sides along an axis are to be multiplied, beyond what `scale` does to places: the median over the pairs."""
    said = numpy.array([abs(float(p.said[axis + 2] - p.said[axis])) for p in pairs]) * scale
    truth = numpy.array([float(p.truth[axis + 2] - p.truth[axis]) for p in pairs])
    has_side = said > 1e-6 * truth
    if not has_side.any():
        return 1.0
    ratio = float(numpy.median(truth[has_side] / said[has_side]))
    return ratio if abs(math.log(ratio)) >= math.log1p(_NOTABLE_SIDES) else 1.0


def halves(count: int) -> numpy.ndarray:
    """bool (count,): a half, drawn at random with a fixed seed."""
    first: numpy.ndarray = numpy.random.default_rng(0).permutation(count) % 2 == 0
    return first


def reframed(samples: Sequence[Sample], said: Sequence[BoxPrediction], boxes: Sequence[Tensor], *, shares: bool) -> list[Tensor] | None:
    """Boxes of each sample in the frame that the other half of the samples speaks for; None where too few objects stand alone."""
    first = halves(len(samples))
    found = [pairs_of(s, p) for s, p in zip(samples, said, strict=True)]
    of_others = ([p for of, is_first in zip(found, first, strict=True) if is_first != half for p in of] for half in (True, False))
    frames = [learn(pairs, shares=shares) for pairs in of_others]
    if frames[0] is None or frames[1] is None:
        return None
    chosen = [frames[0] if h else frames[1] for h in first]
    return [f(b, *s.image.shape[-2:]) for f, b, s in zip(chosen, boxes, samples, strict=True) if f is not None]
