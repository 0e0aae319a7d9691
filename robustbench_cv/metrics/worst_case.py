"""Robust accuracy and attack success, from each sample's own outcomes: the worst case is taken per sample, never an average over attacks.

A sample that is wrong without an attack is not robust: clean outcomes belong to the worst case. Only then does
clean-correct - broken = robust hold, which `inconsistencies` checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.intervals import wilson
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.types import Evidence


def worst_case(metric: Metric, conditions: Sequence[Mapping[str, Evidence]]) -> dict[str, Evidence]:
    """Each sample's worst evidence over the conditions (clean first), by id, for the samples that all conditions have.

    For a rate that is "wrong under any". For a ratio of sums (mIoU, AP) it is the evidence with the worst value of the image alone, so
    that the metric of the result lies at or above the worst that some choice per image could give (project choice).
    """
    if not conditions:
        raise ValueError("worst_case needs the evidence of at least one condition")
    shared = [i for i in conditions[0] if all(i in c for c in conditions)]
    sign = 1 if metric.higher_is_better else -1
    return {i: min((c[i] for c in conditions), key=lambda e: sign * _alone(metric, e)) for i in shared}


def _alone(metric: Metric, evidence: Evidence) -> float:
    """The metric of one sample; where it has none there, the evidence cannot be worse than any other."""
    try:
        return metric.reduce([evidence])
    except NotApplicable:
        return float("inf") if metric.higher_is_better else float("-inf")


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


def attack_success(clean: Mapping[str, int], attacked: Mapping[str, int]) -> AttackSuccess:
    """Counts from outcomes by sample id (1 right, 0 wrong). A sample that the attack was not run on is absent from `attacked`.

    For several attacks, or restarts, `attacked` is their worst_case. ValueError where an attacked sample has no clean outcome.
    """
    strangers = sorted(set(attacked) - set(clean))
    if strangers:
        raise ValueError(
            f"samples with an outcome under attack need a clean one; {strangers[0]!r} and {len(strangers) - 1} others have none"
        )
    return AttackSuccess(
        n_total=len(clean),
        n_clean_correct=sum(clean.values()),
        n_attacked=len(attacked),
        n_broken=sum(clean[i] and not right for i, right in attacked.items()),
        n_robust=sum(attacked.values()),
        n_missed=sum(right for i, right in clean.items() if i not in attacked),
    )


def _rate(successes: int, n: int, excluded: int, undefined: str) -> Estimate:
    if n == 0:
        return Estimate(None, None, None, 0, excluded, reason=undefined)
    return Estimate(successes / n, *wilson(successes, n), n, excluded)
