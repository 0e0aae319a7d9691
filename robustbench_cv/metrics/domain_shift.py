"""What a model loses on another data set of the same classes: the error increase of Terra Incognita.

Beery, Van Horn, Perona, ECCV 2018: (error there - error here) / error here. "cis" are the images like those learned from, "trans" the
others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.intervals import estimate, moments_of
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.t_intervals import Spread, interval_of, spread_of


class DomainShift(NamedTuple):
    """cis, trans: the metric on each. gap: cis - trans. increase: of the error, (trans - cis) of 1 - metric, over the error on cis."""

    cis: Estimate
    trans: Estimate
    gap: Estimate
    increase: Estimate


def domain_shift(metric: Metric, cis: Column, trans: Column, *, level: float = 0.95) -> DomainShift:
    """Of a share of which more is better. The two data sets share no image, so that the squares of their errors add up."""
    each = [estimate(metric, column.values, level=level) for column in (cis, trans)]
    sides = [moments_of(metric, column.values, paired=True) for column in (cis, trans)]
    reason = next((side.reason for side in sides if side.value is None), "")
    if reason or len(cis) < 2 or len(trans) < 2:
        nothing = Estimate(None, None, None, min(len(cis), len(trans)), reason=reason or "one image shows no spread")
        return DomainShift(each[0], each[1], nothing, nothing)
    (here, there), spreads = (side.value or 0.0 for side in sides), [spread_of(side.influence) for side in sides]
    n = len(cis) + len(trans)
    gap = _with_interval(here - there, _together(spreads, (1.0, 1.0)), n, level)
    error = 1 - here
    if error <= 0:
        return DomainShift(each[0], each[1], gap, Estimate(None, None, None, n, reason="there is no error that could increase"))
    ratio = (1 - there) / error
    # the derivatives of ratio by the two errors
    increase = _with_interval(ratio - 1, _together(spreads, (ratio / error, 1 / error)), n, level)
    return DomainShift(each[0], each[1], gap, increase)


def _together(spreads: list[Spread], weights: tuple[float, float]) -> Spread:
    """The spread of a weighted sum of two independent numbers, with Welch's degrees of freedom."""
    parts = [(weight * spread.error) ** 2 for weight, spread in zip(weights, spreads, strict=True)]
    total = sum(parts)
    below = sum(part**2 / spread.df for part, spread in zip(parts, spreads, strict=True))
    return Spread(math.sqrt(total), total**2 / below if below > 0 else min(spread.df for spread in spreads))


def _with_interval(value: float, spread: Spread, n: int, level: float) -> Estimate:
    return Estimate(value, *interval_of(value, spread, None, n, level=level), n)
