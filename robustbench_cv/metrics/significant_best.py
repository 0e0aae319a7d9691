"""Which model leads a column of a table, and which ones the samples cannot tell from it.

Each model is tested against the one with the best number, on the samples that both have: McNemar's exact test of rates, Student's t of the
influences of everything else, two-sided, with Holm's correction over the column. One that cannot be told from the best ties with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustbench_cv.metrics.evidence import Side
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.non_inferiority import SIZE, regression_of
from robustbench_cv.metrics.paired_tests import holm


@dataclass(frozen=True)
class Leaders:
    """best: the position of the model that is better than every other; None where there is none. tied: those that share the lead."""

    best: int | None = None
    tied: tuple[int, ...] = ()


def leaders(metric: Metric, sides: Sequence[Side | None]) -> Leaders:
    """Of models' evidence under one condition. None: a model that has no number there, and takes no part."""
    numbers = {i: regression_of(metric, side, side, margin=0.0).base.value for i, side in enumerate(sides) if side is not None}
    known = {i: value for i, value in numbers.items() if value is not None}
    if len(known) < 2:
        return Leaders()
    first = (max if metric.higher_is_better else min)(known, key=lambda i: known[i])
    others = [i for i in known if i != first]
    adjusted = holm([_two_sided(metric, sides[first], sides[i]) for i in others])
    tied = tuple(i for i, p in zip(others, adjusted, strict=True) if p >= SIZE)
    return Leaders(None, tuple(sorted((first, *tied)))) if tied else Leaders(first)


def _two_sided(metric: Metric, one: Side | None, other: Side | None) -> float:
    """The p-value of no difference; 1 where the two share no number."""
    assert one is not None
    assert other is not None
    result = regression_of(metric, one, other, margin=0.0)
    if result.mcnemar is not None:
        return result.mcnemar.two_sided
    return min(1.0, 2 * min(result.p_regression, result.p_pass))
