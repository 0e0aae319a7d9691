"""How far a filled mask is from the truth in a model's response: against the exact counterfactual of the same removal, sample by sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy

from robustbench_cv.metrics.evidence import Column, Side, aligned, all_ids
from robustbench_cv.metrics.intervals import Moments, difference_of
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.object_recall import RECALLED
from robustbench_cv.metrics.score_intervals import wilson


class Fidelity(NamedTuple):
    """Of the effect of a removal on the objects' recall: what the fill says less what the truth says. bias: its mean; spread: the standard
    deviation by sample. correlation: Pearson's of the two by sample, None where one of them never varies. agreement: share of the samples
    on which both have the same sign (up, down, or none).
    """

    bias: Estimate
    spread: float | None
    correlation: float | None
    agreement: Estimate


def fill_fidelity(metric: Metric, filled: Side, exact: Side, before: Side, exact_before: Side, *, level: float = 0.95) -> Fidelity:
    """From the evidence of object recall after a filled and an exact removal of the same objects, and before each."""
    columns = [Column.taken(side, RECALLED) for side in (filled, exact, before, exact_before)]
    shared = aligned(columns)
    n = len(shared[0])
    excluded = all_ids(columns) - n
    if n == 0:
        nothing = Estimate(None, None, None, 0, excluded, reason="no sample has both the fill and its exact counterfactual")
        return Fidelity(nothing, None, None, nothing)
    after, truth, whole, whole_truth = (column.values.field("share").to_numpy(zero_copy_only=False) for column in shared)
    effect, true_effect = after - whole, truth - whole_truth
    error = effect - true_effect
    parts = [Moments(float(v.mean()), (v - v.mean()) / n, 0.0) for v in (after, truth, whole, whole_truth)]
    signs = (1, -1, -1, 1)
    number = Moments(float(error.mean()), sum(s * p.influence for s, p in zip(signs, parts, strict=True)), 0.0)  # type: ignore[arg-type]
    agree = numpy.sign(effect) == numpy.sign(true_effect)
    varies = effect.std() > 0 and true_effect.std() > 0
    return Fidelity(
        difference_of(metric, number, parts, n, excluded, level=level),
        float(error.std(ddof=1)) if n > 1 else None,
        float(numpy.corrcoef(effect, true_effect)[0, 1]) if varies else None,
        Estimate(float(agree.mean()), *wilson(int(agree.sum()), n, level=level), n, excluded),
    )
