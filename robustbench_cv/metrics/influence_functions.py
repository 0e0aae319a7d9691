"""What each sample adds to a number: the derivative of the metric by the sample's weight, on which intervals of any metric rest.

The sum of the squares of these is the variance of the number (the infinitesimal jackknife: Jaeckel 1972; Efron 1982, "The Jackknife, the
Bootstrap and Other Resampling Plans", chapter 6). A difference of two numbers of the same samples has the difference of their influences.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy
import pyarrow

from robustbench_cv.metrics.evidence import Values, array_of
from robustbench_cv.metrics.metric import Metric

GROUPS = 200
"""A metric that gives no influence is asked with each of so many groups of samples left out, each sample where there are fewer (project
choice)."""

PAIRS, FEW_PAIRS, MANY_SAMPLES = 32, 8, 256
"""Pairs of halves from which the bias is estimated, up to so many samples and beyond (project choice)."""


@runtime_checkable
class HasInfluence(Protocol):
    """A metric that knows its influence."""

    def influence(self, evidence: Values, /) -> numpy.ndarray:
        """The derivative of the reduction by each sample's weight where all are 1: float64 (N,), of sum 0."""
        ...


@runtime_checkable
class HasBiasExponent(Protocol):
    """A metric whose bias falls with another power of the number of samples than the first."""

    @property
    def bias_exponent(self) -> float: ...


@runtime_checkable
class HasFewest(Protocol):
    """A metric whose intervals need more samples than others to hold, by simulation (docs/intervals.md). None: none of them does."""

    @property
    def fewest(self) -> int | None: ...


def influence_of(metric: Metric, evidence: Values, value: float) -> numpy.ndarray:
    """Of each sample, or of each of GROUPS groups: the same groups for every evidence of as many samples. float64, of sum 0.

    value: the metric of all of them.
    """
    values = array_of(evidence, metric.evidence_type)
    return metric.influence(values) if isinstance(metric, HasInfluence) else left_out(metric, values, value)


def left_out(metric: Metric, values: pyarrow.Array, value: float) -> numpy.ndarray:
    """By how much the number falls when each sample, or each of GROUPS groups, is left out: the jackknife's influence, of sum 0."""
    n = len(values)
    group = numpy.arange(n) % min(n, GROUPS)
    without = metric.resample(values, (group != numpy.arange(group.max() + 1)[:, None]).astype(numpy.int64))
    change: numpy.ndarray = numpy.where(numpy.isnan(without), 0.0, value - without) * (1 - 1 / len(without))
    change -= change.mean()
    return change


def half_sample_bias(metric: Metric, evidence: Values, value: float) -> float:
    """How far the number lies above that of many samples: by how much it moves when half of the samples are left out.

    Halves come in pairs that share no sample, so that what is linear cancels. A bias of c n^-k moves by c n^-k (2^k - 1); k is 1 unless the
    metric says otherwise (`bias_exponent`). 0 where most halves leave the metric undefined.
    """
    values = array_of(evidence, metric.evidence_type)
    n = len(values)
    if n < 4 or metric.is_rate:
        return 0.0
    halves = metric.resample(values, half_samples(n)).reshape(-1, 2)
    defined = ~numpy.isnan(halves).any(axis=1)
    if defined.mean() < 0.5:
        return 0.0
    exponent = metric.bias_exponent if isinstance(metric, HasBiasExponent) else 1.0
    return float((halves[defined].mean() - value) / (2**exponent - 1))


def half_samples(n: int) -> numpy.ndarray:
    """Weights 0 and 1, int64 (2 P, n): each odd row has the samples that the row before it leaves out. The same each time."""
    rng = numpy.random.Generator(numpy.random.PCG64(0))
    pairs = PAIRS if n <= MANY_SAMPLES else FEW_PAIRS
    first = numpy.zeros((pairs, n), dtype=numpy.int64)
    for row in first:
        row[rng.permutation(n)[: n // 2]] = 1
    return numpy.stack([first, 1 - first], axis=1).reshape(-1, n)
