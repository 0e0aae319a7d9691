"""What is left of a number as more of the object is covered: the area under the curve, and the share at which half of it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy

from robustbench_cv.metrics.evidence import Column, Side, aligned, all_ids
from robustbench_cv.metrics.intervals import Moments, estimate_of, moments_of
from robustbench_cv.metrics.metric import Estimate, Metric


class OcclusionRobustness(NamedTuple):
    """area: under the curve over the covered share, by the trapezoid rule, as a share of the width covered. occ50: the first covered share
    at which the number is less than half of its clean value, None where it never is.
    """

    area: Estimate
    occ50: float | None


def occlusion_robustness(metric: Metric, clean: Side, covered: Mapping[float, Side], *, level: float = 0.95) -> OcclusionRobustness:
    """Over the samples that all shares have. covered: evidence by covered share in (0, 1]; the clean image is the share 0."""
    shares = [0.0, *sorted(covered)]
    columns = [Column.taken(side, metric.evidence_type) for side in (clean, *(covered[share] for share in shares[1:]))]
    shared = aligned(columns)
    n, excluded = len(shared[0]), all_ids(columns) - len(shared[0])
    moments = [moments_of(metric, column.values, paired=True) for column in shared]
    missing = next((m.reason for m in moments if m.value is None), "" if covered else "no covered share")
    if missing:
        return OcclusionRobustness(Estimate(None, None, None, n, excluded, reason=missing), None)
    values = [m.value for m in moments if m.value is not None]
    weights = _trapezoid(numpy.array(shares))
    influence: numpy.ndarray = weights @ numpy.stack([m.influence for m in moments])
    bias = float(sum(w * m.bias for w, m in zip(weights, moments, strict=True)))
    area = Moments(float(weights @ numpy.array(values)), influence, bias)
    return OcclusionRobustness(estimate_of(metric, area, moments, metric.range, n, excluded, level=level), occ50(shares, values))


def occ50(shares: list[float], values: list[float]) -> float | None:
    """The first share at which the number falls below half of the first, between two of them by a straight line; None where it never does.

    >>> occ50([0.0, 0.5, 1.0], [0.8, 0.6, 0.2])
    0.75
    """
    half = values[0] / 2
    for k in range(1, len(shares)):
        if values[k] < half:
            part = (values[k - 1] - half) / (values[k - 1] - values[k])
            return shares[k - 1] + part * (shares[k] - shares[k - 1])
    return None


def _trapezoid(x: numpy.ndarray) -> numpy.ndarray:
    """The weight of each place, of sum 1."""
    gaps = numpy.diff(x)
    weights: numpy.ndarray = (numpy.append(gaps, 0.0) + numpy.insert(gaps, 0, 0.0)) / 2 / (x[-1] - x[0])
    return weights
