"""95 % intervals of metrics, and of differences on the same samples: see docs/intervals.md for why these, and how often they hold.

A rate has Wilson's interval, and the difference of two rates Tango's. Everything else has one from its influences: its centre is corrected
for the bias of few samples, its width is Student's t times the standard error. Nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy
import pyarrow

from robustbench_cv.arrow_compute import compute
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.evidence import Column, Side, Values, aligned, all_ids, array_of
from robustbench_cv.metrics.influence_functions import HasFewest, half_sample_bias, influence_of
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.score_intervals import Interval, tango, wilson
from robustbench_cv.metrics.t_intervals import Spread, interval_of, spread_of

FEWEST = 20
"""With fewer samples an interval may hold less often than it says (by simulation, see docs/intervals.md)."""

FEWEST_DF = 6.0
"""So few degrees of freedom mean that a handful of samples carries all of a number (project choice)."""


class Differences(NamedTuple):
    """What an edit did (after minus before), what its placebo did, and the first minus the second: the effect of the object itself."""

    effect: Estimate
    control: Estimate | None
    net: Estimate | None


def estimate(metric: Metric, evidence: Values, *, excluded: int = 0, level: float = 0.95) -> Estimate:
    """A metric with its interval, of evidence in the order of the sample ids. Undefined: value None, with the reason."""
    values = array_of(evidence, metric.evidence_type)
    side = moments_of(metric, values)
    if side.value is None:
        return Estimate(None, None, None, len(values), excluded, reason=side.reason)
    n = len(values)
    if metric.is_rate:
        return with_caution(Estimate(side.value, *wilson(round(side.value * n), n, level=level), n, excluded), None)
    if n == 1:
        return _without_interval(side.value, excluded)
    if _is_mean_of_outcomes(metric, side):
        return with_caution(Estimate(side.value, *wilson(round(side.value * n), n, level=level), n, excluded), None)
    if _fewest(metric) is None:
        return Estimate(side.value, None, None, n, excluded, reason=_NONE_HOLDS)
    spread = spread_of(side.influence, floor=unseen_error(metric, [side], side.influence))
    centre = side.value - _limited(side.bias, spread.error)
    return with_caution(
        _around(side.value, interval_of(centre, spread, metric.range, n, level=level), n, excluded), spread, _fewest(metric)
    )


def paired_difference(metric: Metric, a: Side, b: Side, *, level: float = 0.95) -> Estimate:
    """metric(a) - metric(b) over the samples that have both."""
    return difference_in_differences(metric, a, b, level=level).effect


def difference_in_differences(
    metric: Metric,
    after: Side,
    before: Side,
    control_after: Side | None = None,
    control_before: Side | None = None,
    *,
    level: float = 0.95,
) -> Differences:
    """Effect of an edit, effect of its placebo, and the first minus the second.

    All three are of the samples that have all evidence, so that they add up; `excluded` counts those that have some of it. Without a
    control only the effect is given.
    """
    given = [after, before]
    if control_after is not None and control_before is not None:
        given += [control_after, control_before]
    columns = [Column.taken(side, metric.evidence_type) for side in given]
    shared = [column.values for column in aligned(columns)]
    n = len(shared[0])
    excluded = all_ids(columns) - n
    sides = [moments_of(metric, values, paired=True) for values in shared]

    def of(chosen: Sequence[int], signs: Sequence[int]) -> Estimate:
        return _difference(metric, [shared[i] for i in chosen], [sides[i] for i in chosen], signs, excluded=excluded, level=level)

    effect = of((0, 1), (1, -1))
    if len(sides) == 2:
        return Differences(effect, None, None)
    # Most edits and their placebos are of the same images: what these were before leaves the difference, and its interval.
    net = of((0, 2), (1, -1)) if shared[1].equals(shared[3]) else of((0, 1, 2, 3), (1, -1, -1, 1))
    return Differences(effect, of((2, 3), (1, -1)), net)


class Moments(NamedTuple):
    """A number, None where it is undefined, with the reason; its influences by sample, of sum 0; its bias."""

    value: float | None
    influence: numpy.ndarray
    bias: float
    reason: str = ""


def moments_of(metric: Metric, values: pyarrow.Array, *, paired: bool = False) -> Moments:
    """Of a metric. paired: also of a rate, whose own interval needs none of it."""
    nothing = numpy.zeros(0)
    if not len(values):
        return Moments(None, nothing, 0.0, f"no sample has this metric{' on every side of the comparison' if paired else ''}")
    try:
        value = metric.reduce(values)
    except NotApplicable as error:
        return Moments(None, nothing, 0.0, str(error))
    if metric.is_rate and not paired:
        return Moments(value, nothing, 0.0)
    return Moments(value, influence_of(metric, values, value), half_sample_bias(metric, values, value))


def _difference(
    metric: Metric, values: Sequence[pyarrow.Array], sides: Sequence[Moments], signs: Sequence[int], *, excluded: int, level: float
) -> Estimate:
    n, missing = len(values[0]), next((side.reason for side in sides if side.value is None), None)
    if missing is not None:
        return Estimate(None, None, None, n, excluded, reason=missing)
    value = float(_signed([side.value for side in sides], signs))
    if metric.is_rate and len(sides) == 2:
        bounds = tango(*discordant(*values), n, level=level)
        return with_caution(_around(value, bounds, n, excluded), None)
    combined = Moments(value, _signed([side.influence for side in sides], signs), float(_signed([side.bias for side in sides], signs)))
    return _cut(estimate_of(metric, combined, sides, None, n, excluded, level=level), metric, len(sides) // 2)


def _cut(made: Estimate, metric: Metric, differences: int) -> Estimate:
    """An interval of the sum of so many differences of a metric, less what lies where no such sum can."""
    low, high = metric.range
    if high is None or made.low is None or made.high is None:
        return made
    most = differences * (high - low)
    return replace(made, low=max(made.low, -most), high=min(made.high, most))


def difference_of(metric: Metric, number: Moments, parts: Sequence[Moments], n: int, excluded: int = 0, *, level: float = 0.95) -> Estimate:
    """A difference made of several of a metric's numbers on the same n samples, by its influences. parts: those."""
    return estimate_of(metric, number, parts, None, n, excluded, level=level)


def estimate_of(
    metric: Metric,
    number: Moments,
    parts: Sequence[Moments],
    limits: tuple[float, float | None] | None,
    n: int,
    excluded: int = 0,
    *,
    level: float = 0.95,
) -> Estimate:
    """A number that is made of several of a metric's on the same n samples, by its influences. parts: those. limits: where it must lie."""
    assert number.value is not None
    if n == 1:
        return _without_interval(number.value, excluded)
    if _fewest(metric) is None:
        return Estimate(number.value, None, None, n, excluded, reason=_NONE_HOLDS)
    centre, spread = centre_and_spread(metric, number, parts)
    return with_caution(_around(number.value, interval_of(centre, spread, limits, n, level=level), n, excluded), spread, _fewest(metric))


def centre_and_spread(metric: Metric, number: Moments, parts: Sequence[Moments]) -> tuple[float, Spread]:
    """Around what the interval of a number lies that is made of several of a metric's, and its standard error. parts: those."""
    assert number.value is not None
    spread = spread_of(number.influence, floor=unseen_error(metric, parts, number.influence))
    return number.value - _limited(number.bias, spread.error), spread


def _signed(parts: Sequence[object], signs: Sequence[int]) -> numpy.ndarray:
    total: numpy.ndarray = numpy.sum([sign * numpy.asarray(part) for part, sign in zip(parts, signs, strict=True)], axis=0)
    return total


def discordant(a: pyarrow.Array, b: pyarrow.Array) -> tuple[int, int]:
    """How many samples only the first has right, and only the second."""
    only = (compute.and_(one, compute.invert(other)).true_count for one, other in ((a, b), (b, a)))
    return next(only), next(only)


def unseen_error(metric: Metric, sides: Sequence[Moments], influence: numpy.ndarray) -> float:
    """A standard error for what n samples need not have shown: that of one more sample.

    It moves the number as those seen do on the average; where few of them moved it, also as a sample moves a side, or by all of 1 where
    samples are right or wrong, or shares that never varied. After Agresti & Min 2005 (https://doi.org/10.1002/sim.1781), who add half a
    sample to each cell of the table of two paired rates; the weight of the second part is a project choice.
    """
    n = len(influence)
    moved = int((numpy.abs(influence) > 1e-12).sum())
    of_side = n * float(numpy.mean([(side.influence**2).sum() for side in sides]))
    if metric.is_rate or (of_side == 0 and metric.range == (0.0, 1.0)):
        of_side = 1.0  # where no side varies, a share moves as far as an outcome does
    return math.sqrt(n * float((influence**2).sum()) + of_side / (1 + moved) ** 2) / (n + 2)


def _is_mean_of_outcomes(metric: Metric, side: Moments) -> bool:
    """Whether a share turned out to be a rate: every sample, weighing the same, is right or wrong."""
    if metric.range != (0.0, 1.0) or side.value is None or side.bias:
        return False
    outcomes = side.influence * len(side.influence) + side.value
    return bool((numpy.abs(outcomes - outcomes.round()) < 1e-9).all() and (outcomes > -0.5).all() and (outcomes < 1.5).all())


def _limited(bias: float, error: float) -> float:
    """A bias no larger than the standard error: more would be noise of its own estimate (project choice)."""
    return math.copysign(min(abs(bias), error), bias)


def _around(value: float, bounds: Interval, n: int, excluded: int) -> Estimate:
    """An interval that holds its own value, however far the correction of the bias has moved it."""
    return Estimate(value, min(value, bounds.low), max(value, bounds.high), n, excluded)


def _without_interval(value: float, excluded: int) -> Estimate:
    return Estimate(value, None, None, 1, excluded, reason="no interval: one sample shows no spread")


_NONE_HOLDS = "no interval: by simulation none of this metric holds"


def _fewest(metric: Metric) -> int | None:
    return metric.fewest if isinstance(metric, HasFewest) else FEWEST


def with_caution(estimate: Estimate, spread: Spread | None = None, fewest: int | None = FEWEST) -> Estimate:
    """The estimate with what must be said of its interval, where it has one. fewest: samples with which intervals like it hold."""
    if estimate.low is None:
        return estimate
    if fewest is not None and estimate.n < fewest:
        return replace(estimate, caution=f"{estimate.n} samples are too few for an interval to be relied on ({fewest} are enough)")
    if spread is not None and spread.df < FEWEST_DF and spread.error > 0:
        return replace(estimate, caution="a handful of the samples carries all of this number: its interval may be too narrow")
    return estimate
