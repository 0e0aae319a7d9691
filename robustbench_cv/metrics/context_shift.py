"""What an edit does to a detector's errors at its operating score: misses, false boxes, and how many boxes there are at all.

The three counters of ContextShift (Zlotnikov, Lazarovich, Ben-Shahar 2026, arXiv:2606.09495), which AP does not show.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from robustbench_cv.metrics.detection_rates import FOUND, OBJECTS
from robustbench_cv.metrics.evidence import Column, Side, aligned, all_ids, row_of
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.t_intervals import interval_of, spread_of


class ContextShift(NamedTuple):
    """Relative changes, after over before less 1: misses, boxes that match no object, boxes. None changes where there was none before."""

    misses: Estimate
    false_boxes: Estimate
    boxes: Estimate


def context_shift(after: Side, before: Side, *, level: float = 0.95) -> ContextShift:
    """From the evidence of detection rates of the same images."""
    columns = [Column.taken(side, OBJECTS) for side in (after, before)]
    shared = aligned(columns)
    excluded = all_ids(columns) - len(shared[0])
    counts = [_counts(side) for side in shared]
    return ContextShift(*(_change(a, b, excluded, level) for a, b in zip(*counts, strict=True)))


def _counts(side: Column) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Of each image: misses, boxes beyond those that found an object, boxes."""
    objects = side.values.field("objects")
    image, states = row_of(objects), objects.flatten().to_numpy(zero_copy_only=False)
    found = numpy.bincount(image[states == FOUND], minlength=len(side))
    boxes = side.values.field("boxes").to_numpy(zero_copy_only=False)
    return numpy.bincount(image[states != FOUND], minlength=len(side)), boxes - found, boxes


def _change(after: numpy.ndarray, before: numpy.ndarray, excluded: int, level: float) -> Estimate:
    n, total = len(after), float(before.sum())
    if n < 2 or total == 0:
        return Estimate(None, None, None, n, excluded, reason="there was none before the edit" if n > 1 else "one image shows no spread")
    ratio = float(after.sum()) / total
    influence: numpy.ndarray = (after - ratio * before) / total
    bounds = interval_of(ratio, spread_of(influence), (0.0, None), n, level=level)
    return Estimate(ratio - 1, bounds.low - 1, bounds.high - 1, n, excluded)
