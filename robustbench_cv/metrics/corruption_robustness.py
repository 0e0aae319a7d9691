"""What is left of a number under corruptions: mPC and rPC, and ImageNet-C's corruption errors.

Hendrycks, Dietterich, ICLR 2019 (arXiv:1903.12261): CE, mCE, relative CE. Michaelis et al. 2019 (arXiv:1907.07484): mPC, rPC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy

from robustbench_cv.errors import UserError
from robustbench_cv.metrics.evidence import Column, Side, aligned, all_ids
from robustbench_cv.metrics.intervals import Moments, estimate_of, moments_of
from robustbench_cv.metrics.metric import Estimate, Metric

ALEXNET_ERROR: Mapping[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's top-1 errors on ImageNet-C, the mean of the five severities: what ImageNet-C's CE divides by (the authors' code)."""

ALEXNET_CLEAN_ERROR = 0.43478
"""AlexNet's top-1 error on ImageNet's validation images (torchvision's weights)."""


class CorruptionRobustness(NamedTuple):
    """Of the samples that all conditions have. clean: P. mean: mPC, the mean over the conditions. relative: rPC = mPC / P."""

    clean: Estimate
    mean: Estimate
    relative: Estimate


def corruption_robustness(metric: Metric, clean: Side, corrupted: Sequence[Side], *, level: float = 0.95) -> CorruptionRobustness:
    """P, mPC and rPC with their intervals: each corrupted condition counts the same, as do the severities of a corruption.

    The influences of the conditions on a sample are added, so that the intervals know that all are of the same images.
    """
    columns = [Column.taken(side, metric.evidence_type) for side in (clean, *corrupted)]
    shared = aligned(columns)
    n, excluded = len(shared[0]), all_ids(columns) - len(shared[0])
    moments = [moments_of(metric, column.values, paired=True) for column in shared]
    missing = next((m.reason for m in moments if m.value is None), "")
    values = [m.value for m in moments if m.value is not None]
    if missing or not corrupted:
        nothing = Estimate(None, None, None, n, excluded, reason=missing or "no corrupted condition")
        return CorruptionRobustness(nothing, nothing, nothing)
    before = moments[0]
    number, whole = float(numpy.mean(values[1:])), values[0]
    influence: numpy.ndarray = numpy.mean([m.influence for m in moments[1:]], axis=0)
    mean = Moments(number, influence, float(numpy.mean([m.bias for m in moments[1:]])))

    def of(one: Moments, limits: tuple[float, float | None] | None) -> Estimate:
        return estimate_of(metric, one, moments, limits, n, excluded, level=level)

    if whole == 0:
        relative = Estimate(None, None, None, n, excluded, reason="nothing is right on clean images, so that nothing can be left of it")
    else:
        ratio = number / whole
        part = Moments(ratio, (mean.influence - ratio * before.influence) / whole, (mean.bias - ratio * before.bias) / whole)
        relative = of(part, (0.0, None))
    return CorruptionRobustness(of(before, metric.range), of(mean, metric.range), relative)


def corruption_error(error: Mapping[str, float], baseline: Mapping[str, float] = ALEXNET_ERROR) -> float:
    """mCE as a share (the paper prints it times 100): the mean over the corruptions of a model's error divided by the baseline's.

    error: mean over the severities, by ImageNet-C's name. UserError where the two are not of the same corruptions: a list in another order
    than the baseline's has given wrong numbers elsewhere.

    >>> corruption_error(ALEXNET_ERROR)
    1.0
    """
    _require_same(error, baseline)
    return sum(error[name] / baseline[name] for name in error) / len(error)


def relative_corruption_error(
    error: Mapping[str, float], clean: float, baseline: Mapping[str, float] = ALEXNET_ERROR, baseline_clean: float = ALEXNET_CLEAN_ERROR
) -> float:
    """Relative mCE as a share: as `corruption_error`, of by how much the errors exceed those on clean images."""
    _require_same(error, baseline)
    return sum((error[name] - clean) / (baseline[name] - baseline_clean) for name in error) / len(error)


def _require_same(error: Mapping[str, float], baseline: Mapping[str, float]) -> None:
    apart = sorted(set(error) ^ set(baseline))
    if apart:
        raise UserError(f"corruption errors are of the same corruptions on both sides; only one side has {', '.join(apart)}")
