"""Is a model worse than its baseline on the same samples: by more than a margin, not by that much, or can these samples not tell?

Two one-sided tests of the loss (how far the new number lies below the old one, in the metric's own direction): that it exceeds the margin
(a regression), and that it does not reach it (non-inferiority; equivalence in the direction that matters: Schuirmann 1987,
https://doi.org/10.1007/BF01068419). They are the tests that docs/intervals.md's intervals are made of: Tango's score for rates
(McNemar's exact test without a margin), Student's t of the influences for everything else. What neither decides is inconclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy

from robustbench_cv.metrics.evidence import Column, Side, aligned, all_ids
from robustbench_cv.metrics.intervals import Moments, centre_and_spread, difference_in_differences, discordant, moments_of
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.paired_tests import McNemar, mcnemar
from robustbench_cv.metrics.score_intervals import tango_score
from robustbench_cv.metrics.t_intervals import student

Outcome: TypeAlias = Literal["pass", "regression", "inconclusive"]

SIZE = 0.05
"""Chance of a false "regression" anywhere in a comparison, and of a false "pass" of one number."""

POWER = 0.9
"""With which a recommended number of samples decides."""

MOST_TIMES = 100
"""A number of samples beyond so many times those at hand is not recommended: the loss lies too near the margin (project choice)."""

_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Regression:
    """One metric of two models on the samples that both have. change: new minus base, with its 95 % interval.

    p_regression: of a loss no larger than the margin (small: there is a regression). p_pass: of a loss no smaller than it. error: standard
    error of the change. mcnemar: of rates, of no change at all; one_sided: that the new model is worse. None where there is no number.
    """

    base: Estimate
    new: Estimate
    change: Estimate
    margin: float
    loss: float | None = None
    error: float | None = None
    p_regression: float = 1.0
    p_pass: float = 1.0
    mcnemar: McNemar | None = None

    def outcome(self, p_regression: float | None = None) -> Outcome:
        """p_regression: in place of its own, one that is corrected for the number of comparisons."""
        if (self.p_regression if p_regression is None else p_regression) < SIZE:
            return "regression"
        return "pass" if self.p_pass < SIZE else "inconclusive"

    def samples_needed(self, comparisons: int = 1) -> int | None:
        """About how many samples would decide if the loss is what it looks like, with a power of 90 %. None: no reasonable number would.

        comparisons: among how many a regression is corrected for (Bonferroni's bound of Holm's).
        """
        if self.loss is None or self.error is None:
            return None
        distance, n = self.loss - self.margin, self.change.n
        size = SIZE / comparisons if distance > 0 else SIZE
        needed = needed_samples(self.error * math.sqrt(n), abs(distance), size) if distance else math.inf
        return math.ceil(needed) if needed <= MOST_TIMES * n else None


def regression_of(metric: Metric, base: Side, new: Side, margin: float) -> Regression:
    """Of evidence of two models. margin: the loss that does not matter, in the metric's unit, not negative."""
    columns = [Column.taken(side, metric.evidence_type) for side in (new, base)]
    shared = aligned(columns)
    excluded = all_ids(columns) - len(shared[0])
    sides = [moments_of(metric, column.values, paired=True) for column in shared]
    n = len(shared[0])
    change = difference_in_differences(metric, *shared).effect
    new_number, base_number = (Estimate(side.value, None, None, n, excluded, reason=side.reason) for side in sides)
    if change.value is None or change.low is None:
        return Regression(base=base_number, new=new_number, change=change, margin=margin)
    loss = change.value * (-1 if metric.higher_is_better else 1)
    if metric.is_rate:
        only_new, only_base = discordant(shared[0].values, shared[1].values)
        worse, better = (only_base, only_new) if metric.higher_is_better else (only_new, only_base)
        score = tango_score(worse, better, n, margin)
        error = math.sqrt(max(worse + better - n * loss**2, 1.0)) / n
        exact = mcnemar(worse, better)
        return Regression(
            base=base_number,
            new=new_number,
            change=change,
            margin=margin,
            loss=loss,
            error=error,
            p_regression=1 - _NORMAL.cdf(score) if margin else exact.one_sided,
            p_pass=_NORMAL.cdf(score),
            mcnemar=exact,
        )
    number = Moments(change.value, sides[0].influence - sides[1].influence, sides[0].bias - sides[1].bias)
    centre, spread = centre_and_spread(metric, number, sides)
    distance = centre * (-1 if metric.higher_is_better else 1) - margin
    tail = _tail(abs(distance) / spread.error, spread.df) if spread.error else float(distance == 0) / 2
    below, above = (tail, 1 - tail) if distance > 0 else (1 - tail, tail)
    return Regression(
        base=base_number,
        new=new_number,
        change=change,
        margin=margin,
        loss=loss,
        error=spread.error,
        p_regression=below,
        p_pass=above,
    )


def needed_samples(deviation: float, distance: float, size: float = SIZE, power: float = POWER) -> float:
    """Samples with which a one-sided test decides. deviation: of one sample's difference; distance: of the true loss from the margin.

    >>> round(needed_samples(0.1**0.5, 0.02))
    2141
    """
    return float(numpy.square((_NORMAL.inv_cdf(1 - size) + _NORMAL.inv_cdf(power)) * deviation / distance))


def detectable_loss(n: int, discordance: float, margin: float, comparisons: int = 1, power: float = POWER) -> float:
    """The least true loss of a rate that n samples show as a regression beyond the margin. discordance: the share of samples of which the
    two models disagree, of which the loss is at least a part.

    >>> round(detectable_loss(2000, 0.05, 0.02), 3)
    0.035
    """
    steps = _NORMAL.inv_cdf(1 - SIZE / comparisons) + _NORMAL.inv_cdf(power)
    low, high = margin, 1.0
    for _ in range(60):
        loss = (low + high) / 2
        error = math.sqrt(max(discordance, loss) / n)
        low, high = (low, loss) if loss - margin > steps * error else (loss, high)
    return high


def detectable(n: int, deviation: float, margin: float, comparisons: int = 1, power: float = POWER) -> float:
    """The least true loss of any number that n samples show as a regression beyond the margin. deviation: of one sample's difference.

    >>> round(detectable(2141, 0.1**0.5, 0.02), 3)
    0.04
    """
    return margin + (_NORMAL.inv_cdf(1 - SIZE / comparisons) + _NORMAL.inv_cdf(power)) * deviation / math.sqrt(n)


def _tail(t: float, df: float) -> float:
    """The chance of more than t standard errors above, by the quantile that the intervals have."""
    low, high = 0.0, 1.0 - 1e-15
    for _ in range(60):
        level = (low + high) / 2
        low, high = (level, high) if student(df, level) < t else (low, level)
    return (1 - low) / 2
