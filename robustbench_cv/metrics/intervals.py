"""95 % intervals: Wilson's for rates, the percentile bootstrap over images for everything else, paired wherever two things are compared.

Images are drawn, and the whole metric recomputed from their evidence; an image drawn twice counts twice. Every estimate of the same
number of samples and seed uses the same draws. A weighting under which the metric is undefined (no class drawn) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy

from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.evidence import Column, Side, Values, aligned, all_ids, array_of
from robustbench_cv.metrics.metric import Estimate, Metric

RESAMPLES = 2000
_Z = 1.959963984540054  # the normal distribution's 97.5 % point
_CELLS = 4_000_000  # of one chunk of draws: it bounds memory, not the result


class Interval(NamedTuple):
    low: float
    high: float


class Differences(NamedTuple):
    """What an edit did (after minus before), what its placebo did, and the first minus the second: the effect of the object itself."""

    effect: Estimate
    control: Estimate | None
    net: Estimate | None


def wilson(successes: int, n: int) -> Interval:
    """95 % interval of a rate (Wilson 1927); serves 0 and n successes too.

    >>> wilson(0, 20).high
    0.16112515805281938
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"0 <= successes <= n and n > 0, got {successes} of {n}")
    p, scale = successes / n, 1 + _Z**2 / n
    centre = (p + _Z**2 / (2 * n)) / scale
    half = _Z / scale * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    return Interval(0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def bootstrap_counts(n: int, resamples: int = RESAMPLES, seed: int = 0) -> numpy.ndarray:
    """How often each of n images is drawn in each resample of n: int64 (resamples, n), every row sums to n."""
    return numpy.concatenate(list(_draws(n, resamples, seed)))


def _draws(n: int, resamples: int, seed: int) -> Iterator[numpy.ndarray]:
    rng = numpy.random.Generator(numpy.random.PCG64(seed))
    step = max(1, _CELLS // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + numpy.arange(rows)[:, None] * n
        yield numpy.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)


def percentile(values: numpy.ndarray) -> Interval | None:
    """The middle 95 % of the defined values; None where fewer than two are."""
    defined = values[~numpy.isnan(values)]
    if len(defined) < 2:
        return None
    low, high = numpy.percentile(defined, [2.5, 97.5])
    return Interval(float(low), float(high))


def estimate(metric: Metric, evidence: Values, *, excluded: int = 0, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """A metric with its interval, of evidence in the order of the sample ids. Undefined: value None, with the reason."""
    evidence = array_of(evidence, metric.evidence_type)
    n = len(evidence)
    if n == 0:
        return Estimate(None, None, None, n, excluded, reason="no sample has this metric")
    try:
        value = metric.reduce(evidence)
    except NotApplicable as error:
        return Estimate(None, None, None, n, excluded, reason=str(error))
    if metric.is_rate:
        return Estimate(value, *wilson(round(value * n), n), n, excluded)
    spread = _resample(metric, evidence, resamples, seed)
    return _with_bounds(_Quantity(value, spread), n, excluded)


def paired_difference(
    metric: Metric,
    a: Side,
    b: Side,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """metric(a) - metric(b) over the samples (by id) that have both, with the same draws for both."""
    return difference_in_differences(metric, a, b, resamples=resamples, seed=seed).effect


def difference_in_differences(
    metric: Metric,
    after: Side,
    before: Side,
    control_after: Side | None = None,
    control_before: Side | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Differences:
    """Effect of an edit, effect of its placebo, and the first minus the second, with one set of draws.

    Evidence by sample id. All three are of the samples that have all of it, so that they add up; `excluded` counts those that have
    some of it. Without a control only the effect is given.
    """
    given = [after, before]
    if control_after is not None and control_before is not None:
        given += [control_after, control_before]
    columns = [Column.taken(side, metric.evidence_type) for side in given]
    sides = aligned(columns)
    n = len(sides[0])
    excluded = all_ids(columns) - n
    measured = [_quantity(metric, side.values, resamples, seed) for side in sides]
    effect = _minus(measured[0], measured[1])
    if len(measured) == 2:
        return Differences(_with_bounds(effect, n, excluded), None, None)
    control = _minus(measured[2], measured[3])
    return Differences(*(_with_bounds(q, n, excluded) for q in (effect, control, _minus(effect, control))))


def resampled_difference(metric: Metric, a: Side, b: Side, *, resamples: int = RESAMPLES, seed: int = 0) -> numpy.ndarray:
    """metric(a) - metric(b) in every resample of the samples that have both: float64 (resamples,), NaN where undefined.

    For one-sided bounds, and for the share of resamples with the adverse sign.
    """
    sides = aligned([Column.taken(side, metric.evidence_type) for side in (a, b)])
    left, right = (_quantity(metric, side.values, resamples, seed) for side in sides)
    return _minus(left, right).spread


class _Quantity(NamedTuple):
    """A value (None where undefined, with the reason) and the same under every resample, NaN where undefined there."""

    value: float | None
    spread: numpy.ndarray
    reason: str = ""


def _quantity(metric: Metric, evidence: Values, resamples: int, seed: int) -> _Quantity:
    nothing = numpy.full(resamples, numpy.nan)
    if not len(evidence):
        return _Quantity(None, nothing, "no sample has this metric on every side of the comparison")
    try:
        value = metric.reduce(evidence)
    except NotApplicable as error:
        return _Quantity(None, nothing, str(error))
    return _Quantity(value, _resample(metric, evidence, resamples, seed))


def _resample(metric: Metric, evidence: Values, resamples: int, seed: int) -> numpy.ndarray:
    return numpy.concatenate([metric.resample(evidence, counts) for counts in _draws(len(evidence), resamples, seed)])


def _minus(a: _Quantity, b: _Quantity) -> _Quantity:
    value = None if a.value is None or b.value is None else a.value - b.value
    return _Quantity(value, a.spread - b.spread, a.reason or b.reason)


def _with_bounds(quantity: _Quantity, n: int, excluded: int) -> Estimate:
    if quantity.value is None:
        return Estimate(None, None, None, n, excluded, reason=quantity.reason)
    bounds = percentile(quantity.spread) if n > 1 else None
    if bounds is None:
        reason = "no interval: one sample cannot be resampled" if n == 1 else "no interval: undefined in nearly every resample"
        return Estimate(quantity.value, None, None, n, excluded, reason=reason)
    return Estimate(quantity.value, bounds.low, bounds.high, n, excluded)
