"""Robust accuracy and attack success, from each sample's own outcomes: the worst case is taken per sample, never an average over attacks.

A sample that is wrong without an attack is not robust: clean outcomes belong to the worst case. Only then does
clean-correct - broken = robust hold, which `inconsistencies` checks.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow

from robustbench_cv.arrow_compute import compute
from robustbench_cv.metrics.evidence import Column, Side, aligned
from robustbench_cv.metrics.intervals import with_caution
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.score_intervals import wilson


def worst_case(metric: Metric, conditions: Sequence[Side]) -> Column:
    """Each sample's worst outcome of a rate over the conditions (clean first), for the samples that all conditions have.

    ValueError without a condition, and for a metric that is no rate: of a ratio of sums no sample has a worst case of its own.
    """
    if not conditions or not metric.is_rate:
        raise ValueError(f"worst_case needs a rate and the evidence of at least one condition; got {metric.name} and {len(conditions)}")
    sides = aligned([Column.taken(side, metric.evidence_type) for side in conditions])
    worse = compute.and_ if metric.higher_is_better else compute.or_
    return Column(sides[0].ids, functools.reduce(worse, [side.values for side in sides]))


@dataclass(frozen=True, kw_only=True)
class AttackSuccess:
    """Outcomes with their denominators. n_broken: right without the attack and wrong under it. n_robust: right under it.

    n_attacked: samples with an outcome under attack; n_missed: right without the attack, and never attacked.
    """

    n_total: int
    n_clean_correct: int
    n_attacked: int
    n_broken: int
    n_robust: int
    n_missed: int

    def of_correct(self) -> Estimate:
        """Success rate among the samples that were right without the attack and were attacked."""
        return _rate(self.n_broken, self.n_clean_correct - self.n_missed, self.n_missed, "no attacked sample was right without the attack")

    def of_all(self) -> Estimate:
        """Broken samples among all; low for models that are wrong anyway."""
        return _rate(self.n_broken, self.n_total, 0, "no sample")

    def inconsistencies(self) -> list[str]:
        """Why these counts cannot be shown: empty where clean-correct - broken = robust."""
        lines = []
        if self.n_missed:
            lines.append(
                f"{self.n_missed} samples that are right without the attack were never attacked; they are neither robust nor broken"
            )
        expected = self.n_clean_correct - self.n_missed - self.n_broken
        if expected != self.n_robust:
            lines.append(
                f"right and attacked {self.n_clean_correct - self.n_missed} - broken {self.n_broken} = {expected}, but {self.n_robust} "
                "are right under attack: some are wrong without it; take the clean outcome into the worst case"
            )
        return lines


def attack_success(clean: Side, attacked: Side) -> AttackSuccess:
    """Counts from outcomes by sample (true: right). A sample that the attack was not run on is absent from `attacked`.

    For several attacks, or restarts, `attacked` is their worst_case. ValueError where an attacked sample has no clean outcome.
    """
    before, after = (Column.taken(side, pyarrow.bool_()) for side in (clean, attacked))
    both = before.only(after.ids)
    if len(both) < len(after):
        strangers = sorted(set(after.ids.to_pylist()) - set(before.ids.to_pylist()))
        raise ValueError(
            f"samples with an outcome under attack need a clean one; {strangers[0]!r} and {len(strangers) - 1} others have none"
        )
    broken = compute.and_(both.values, compute.invert(after.values))
    return AttackSuccess(
        n_total=len(before),
        n_clean_correct=before.values.true_count,
        n_attacked=len(after),
        n_broken=broken.true_count,
        n_robust=after.values.true_count,
        n_missed=before.values.true_count - both.values.true_count,
    )


def _rate(successes: int, n: int, excluded: int, undefined: str) -> Estimate:
    if n == 0:
        return Estimate(None, None, None, 0, excluded, reason=undefined)
    return with_caution(Estimate(successes / n, *wilson(successes, n), n, excluded))
