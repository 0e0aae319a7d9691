"""What samples that failed could have been: a number without them is one of a chosen few, so it is shown with its bounds."""

from __future__ import annotations

from dataclasses import replace

from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.score_intervals import wilson


def with_failures(estimate: Estimate, metric: Metric, failed: int) -> Estimate:
    """The estimate with `failed` samples that have no outcome; of a rate also its value with all of them wrong, and all of them right.

    Of a ratio of sums or an average precision the failed samples' objects and pixels are not known, and it has no such bounds.
    """
    if failed == 0:
        return estimate
    if not metric.is_rate:
        return replace(estimate, failed=failed)
    hits = round((estimate.value or 0.0) * estimate.n)
    low, high = hits / (estimate.n + failed), (hits + failed) / (estimate.n + failed)
    wrong, right = (low, high) if metric.higher_is_better else (high, low)
    return replace(estimate, failed=failed, all_wrong=wrong, all_right=right)


def best_interval(estimate: Estimate) -> tuple[float, float] | None:
    """The 95 % interval of a rate if all failed samples were right: what not even luck could better. None where that is not known."""
    if estimate.all_right is None:
        return None
    n = estimate.n + estimate.failed
    return wilson(round(estimate.all_right * n), n)
