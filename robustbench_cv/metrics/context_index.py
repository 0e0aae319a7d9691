"""How much of a model's answer the object carries, how much its context, and the share of the context in both: the context index.

Definitions are project choices, defended in docs/context.md.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy

from robustbench_cv.metrics.evidence import Column, Side, aligned, all_ids
from robustbench_cv.metrics.intervals import Moments, difference_of, moments_of, unseen_error, with_caution
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.t_intervals import Spread, spread_of, student


class Sides(NamedTuple):
    """Evidence of the objects' recall under an edit and under its placebo, each after it and before it (of the unedited image)."""

    after: Side
    before: Side
    control_after: Side
    control_before: Side


class ContextReliance(NamedTuple):
    """object_reliance: the recall that is lost with the object, its context untouched, less what the placebo loses. context_sensitivity:
    the
    recall that is lost with the context, the object's pixels untouched, less what the placebo loses. context_index: the second over the sum
    of both, in [0, 1]. All are of the same samples: those that both edits and both placebos serve.
    """

    object_reliance: Estimate
    context_sensitivity: Estimate
    context_index: Estimate


NO_EFFECT = "neither taking the object away nor changing its context loses recall that can be told from nothing"

RISES = "the recall of objects rises where their context is swapped: there is nothing that the context carries"

_SIGNS = (-1, 1, 1, -1)  # what is lost: before less after, less the same of the placebo


def context_reliance(metric: Metric, removal: Sides, swap: Sides, *, level: float = 0.95) -> ContextReliance:
    """From a metric of the recall of objects.

    The index has Fieller's interval (1954): the ratios R for which context sensitivity - R x sum cannot be told from 0. Where the sum of
    both cannot be told from 0 any ratio would do, and there is no index.
    """
    columns = [Column.taken(side, metric.evidence_type) for side in (*removal, *swap)]
    shared = [column.values for column in aligned(columns)]
    n = len(shared[0])
    excluded = all_ids(columns) - n
    parts = [moments_of(metric, values, paired=True) for values in shared]
    missing = next((part.reason for part in parts if part.value is None), "")
    if missing:
        return ContextReliance(*[Estimate(None, None, None, n, excluded, reason=missing)] * 3)
    of_object, of_context = (_lost(metric, parts[k : k + 4]) for k in (0, 4))
    each = [_within(difference_of(metric, one.moments, one.parts, n, excluded, level=level)) for one in (of_object, of_context)]
    return ContextReliance(each[0], each[1], _index(of_object, of_context, n, excluded, level))


def _within(loss: Estimate) -> Estimate:
    """The interval cut to [-1, 1]: the unedited image is the same beside edit and placebo, so that a loss is a difference of two shares."""
    return loss if loss.low is None or loss.high is None else replace(loss, low=max(loss.low, -1.0), high=min(loss.high, 1.0))


class _Loss(NamedTuple):
    """A loss of recall, what it is made of, and a standard error for what so few samples need not have shown."""

    moments: Moments
    parts: list[Moments]
    floor: float


def _lost(metric: Metric, parts: list[Moments]) -> _Loss:
    value = sum(sign * (part.value or 0.0) for sign, part in zip(_SIGNS, parts, strict=True))
    influence: numpy.ndarray = sum(sign * part.influence for sign, part in zip(_SIGNS, parts, strict=True))  # type: ignore[assignment]
    moments = Moments(value, influence, sum(sign * part.bias for sign, part in zip(_SIGNS, parts, strict=True)))
    return _Loss(moments, parts, unseen_error(metric, parts, influence))


def _index(of_object: _Loss, of_context: _Loss, n: int, excluded: int, level: float) -> Estimate:
    nothing = Estimate(None, None, None, n, excluded, reason=NO_EFFECT)
    lost = of_context.moments.value
    assert lost is not None
    assert of_object.moments.value is not None
    both = lost + of_object.moments.value
    if n < 2:
        return replace(nothing, reason="no index: one image shows no spread")
    if both <= 0:
        return nothing
    ratio = lost / both
    context, whole = of_context.moments.influence, of_context.moments.influence + of_object.moments.influence
    spread = spread_of(context - ratio * whole)
    step = student(spread.df, level)
    bounds = _fieller(lost, both, _variances(context, whole, of_context.floor, of_object.floor), step)
    if bounds is None:
        return nothing
    low, value, high = (min(max(bound, 0.0), 1.0) for bound in (bounds[0], ratio, bounds[1]))
    made = with_caution(Estimate(value, min(low, value), max(high, value), n, excluded), Spread(spread.error, spread.df))
    return replace(made, caution=RISES) if bounds[1] < 0 else made


def _variances(context: numpy.ndarray, whole: numpy.ndarray, floor: float, other_floor: float) -> tuple[float, float, float]:
    """Of the context's loss, of the sum of both losses, and their covariance."""
    more = (len(context) / (len(context) - 1)) ** 2
    return (
        float((context**2).sum()) * more + floor**2,
        float((whole**2).sum()) * more + floor**2 + other_floor**2,
        float((context * whole).sum()) * more + floor**2,
    )


def _fieller(above: float, below: float, variances: tuple[float, float, float], step: float) -> tuple[float, float] | None:
    """The interval of above / below; None where it would have no end, as below cannot be told from 0."""
    of_above, of_below, together = variances
    square = below**2 - step**2 * of_below
    if square <= 0:
        return None
    middle = above * below - step**2 * together
    root = middle**2 - square * (above**2 - step**2 * of_above)
    width = math.sqrt(max(root, 0.0))
    return (middle - width) / square, (middle + width) / square
