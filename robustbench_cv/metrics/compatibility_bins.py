"""What a swap of contexts does to a model, by how compatible the objects are with the context that they are put in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy
import pyarrow

from robustbench_cv.metrics.context_index import Sides
from robustbench_cv.metrics.context_shift import ContextShift, context_shift
from robustbench_cv.metrics.detection_rates import OBJECTS
from robustbench_cv.metrics.evidence import Column, aligned, all_ids
from robustbench_cv.metrics.intervals import difference_in_differences, estimate, moments_of, unseen_error, with_caution
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.t_intervals import interval_of, spread_of

FEWEST_IMAGES = 10
"""Of fewer images no number is told (project choice, as of the cells of the class matrix)."""

_ALIKE = 1e-9


class Place(NamedTuple):
    """A bin of compatibility, low < NPMI <= high (the first one holds -1 too), and the mean of the images in it."""

    low: float
    high: float
    mean: float


class RecallBin(NamedTuple):
    """The images of a bin. after, control_after: the metric under the swap and under its placebo; effect, control: what each changed.

    All are of the images that the swap and the placebo both serve.
    """

    place: Place
    after: Estimate
    control_after: Estimate
    effect: Estimate
    control: Estimate
    difference: Estimate


class UneditedBin(NamedTuple):
    """The unedited images whose objects are so compatible with their own context."""

    place: Place
    value: Estimate


class ShiftBin(NamedTuple):
    """ContextShift's counters of the images of a bin, under the swap and under its placebo."""

    place: Place
    swap: ContextShift
    control: ContextShift


class ByCompatibility(NamedTuple):
    """slope: by how much the change of the metric, less the placebo's, rises with each unit of NPMI that the new context has more than the
    old one. unknown: images with a number, of whose objects and new context nothing can be said: they are in no bin.
    """

    bins: list[RecallBin]
    unedited: list[UneditedBin]
    slope: Estimate
    unknown: int


def by_compatibility(metric: Metric, sides: Sides, compatibility: Column, edges: Sequence[float]) -> ByCompatibility:
    """Of a metric whose evidence holds a `share` of each image. compatibility: evidence of the swap. edges: of the bins, rising."""
    columns = [Column.taken(side, metric.evidence_type) for side in sides]
    bins = [_recall_bin(metric, columns, place, ids) for place, ids in _placed(compatibility, "after", edges, columns[0])]
    unedited = [_unedited_bin(metric, columns[1], place, ids) for place, ids in _placed(compatibility, "before", edges, columns[1])]
    known = columns[0].only(_known(compatibility, "after").ids)
    return ByCompatibility(bins, unedited, slope(metric, columns, compatibility), len(columns[0]) - len(known))


def shift_by_compatibility(sides: Sides, compatibility: Column, edges: Sequence[float]) -> list[ShiftBin]:
    """Of the evidence of detection rates, over the images that the swap and the placebo both serve."""
    columns = [Column.taken(side, OBJECTS) for side in sides]
    return [
        _shift_bin([column.only(ids) for column in columns], place) for place, ids in _placed(compatibility, "after", edges, columns[0])
    ]


def _shift_bin(columns: Sequence[Column], place: Place) -> ShiftBin:
    shared = aligned(columns)
    excluded = all_ids(columns) - len(shared[0])
    if len(shared[0]) < FEWEST_IMAGES:
        return ShiftBin(place, *[ContextShift(*[_too_few(len(shared[0]), excluded)] * 3)] * 2)
    swap, control = (
        ContextShift(*(replace(number, excluded=excluded) for number in context_shift(shared[k], shared[k + 1]))) for k in (0, 2)
    )
    return ShiftBin(place, swap, control)


def _unedited_bin(metric: Metric, column: Column, place: Place, ids: pyarrow.Array) -> UneditedBin:
    values = column.only(ids).values
    return UneditedBin(place, estimate(metric, values) if len(values) >= FEWEST_IMAGES else _too_few(len(values), 0))


def _too_few(n: int, excluded: int) -> Estimate:
    return Estimate(None, None, None, n, excluded, reason=f"fewer than {FEWEST_IMAGES} images")


def _recall_bin(metric: Metric, columns: Sequence[Column], place: Place, ids: pyarrow.Array) -> RecallBin:
    chosen = [column.only(ids) for column in columns]
    made = difference_in_differences(metric, *chosen)
    assert made.control is not None
    assert made.net is not None
    shared = aligned(chosen)
    if len(shared[0]) < FEWEST_IMAGES:
        return RecallBin(place, *[_too_few(len(shared[0]), made.effect.excluded)] * 5)
    after, control_after = (estimate(metric, shared[k].values, excluded=made.effect.excluded) for k in (0, 2))
    return RecallBin(place, after, control_after, made.effect, made.control, made.net)


def _known(compatibility: Column, side: str) -> Column:
    """Of the images of which something can be said: their compatibility, float64."""
    values = compatibility.values.field(side)
    there = values.is_valid()
    return Column(compatibility.ids.filter(there), values.filter(there))


def _placed(compatibility: Column, side: str, edges: Sequence[float], of: Column) -> Iterator[tuple[Place, pyarrow.Array]]:
    """The bins that images of a column are in, rising, each with their ids."""
    known = _known(compatibility, side).only(of.ids)
    values = known.values.to_numpy(zero_copy_only=False)
    bins = numpy.clip(numpy.searchsorted(edges, values, side="left") - 1, 0, len(edges) - 2)
    for k in numpy.unique(bins):
        inside = bins == k
        yield Place(float(edges[k]), float(edges[k + 1]), float(values[inside].mean())), known.ids.filter(pyarrow.array(inside))


def slope(metric: Metric, columns: Sequence[Column], compatibility: Column, *, level: float = 0.95) -> Estimate:
    """The least-squares slope of each image's change of its share, less the placebo's, over the change of its objects' compatibility.

    columns: evidence under the swap, before it, under the placebo, before that. Its interval is from influences (with each image's
    residual to the line through all others), Student's t, and a floor for what n images need not have shown, that of the mean change
    over the deviation of the compatibility. Undefined where every swap changes the compatibility alike.
    """
    both = compatibility.only(_known(compatibility, "before").ids).only(_known(compatibility, "after").ids)
    shared = aligned([*columns, both])
    n, excluded = len(shared[0]), len(columns[0]) - len(shared[0])
    after, before = (shared[-1].values.field(name).to_numpy(zero_copy_only=False) for name in ("after", "before"))
    x = after - before
    if n < FEWEST_IMAGES or float(x.std()) < _ALIKE:
        nothing = _too_few(n, excluded)
        return nothing if n < FEWEST_IMAGES else replace(nothing, reason="every swap changes the compatibility alike")
    y = sum(sign * _shares(column) for sign, column in zip((1, -1, -1, 1), shared[:4], strict=True))
    off = x - x.mean()
    square = float((off**2).sum())
    value = float((off * y).sum()) / square
    residual = y - numpy.mean(y) - value * off
    residual /= 1 - off**2 / square
    moments = [moments_of(metric, column.values, paired=True) for column in shared[:4]]
    floor = unseen_error(metric, moments, residual / n) / float(x.std())
    spread = spread_of(off * residual / square, floor=floor)
    bounds = interval_of(value, spread, None, n, level=level)
    return with_caution(Estimate(value, bounds.low, bounds.high, n, excluded), spread)


def _shares(column: Column) -> numpy.ndarray:
    shares: numpy.ndarray = column.values.field("share").to_numpy(zero_copy_only=False)
    return shares
