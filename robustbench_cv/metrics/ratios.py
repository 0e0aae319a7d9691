"""What metrics are made of: a mean of zeros and ones, a ratio of two sums, and the guards that keep NaN out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy
from torch import Tensor

from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.metric import Metric, Unit
from robustbench_cv.types import Evidence, Prediction, Sample

T = TypeVar("T")


class Background(NamedTuple):
    """More evidence of every sample than a metric's own number is made of, stored under `key`: what it must be held against."""

    key: str
    measure: Callable[[Prediction, Sample], Evidence]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The share of samples with an outcome. Evidence: 0 or 1.

    outcome: of one sample; NotApplicable where the question means nothing there. guess: what a guess would score, None where that means
    nothing. background: evidence that is kept of every sample beside, see `base_rates`.
    """

    name: str
    outcome: Callable[[Prediction, Sample], bool]
    higher_is_better: bool
    evidence_key: str
    counts_absent: bool = False
    guess: float | None = None
    background: Background | None = None
    is_rate: bool = field(default=True, init=False)
    unit: Unit = field(default="rate", init=False)
    range: tuple[float, float | None] = field(default=(0.0, 1.0), init=False)

    def chance(self, evidence: Sequence[Evidence], /) -> float | None:
        return self.guess

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return int(self.outcome(prediction, sample))

    def reduce(self, evidence: Sequence[Evidence], /) -> float:
        return whole(self, evidence, "no sample")

    def resample(self, evidence: Sequence[Evidence], counts: numpy.ndarray, /) -> numpy.ndarray:
        return quotient(counts @ numpy.asarray(evidence, dtype=numpy.float64), counts.sum(axis=1))


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A sum over the samples divided by another sum: never a mean of the samples' own ratios.

    split: one sample's evidence -> (its part above the line, its part below). undefined: what is missing where all below is 0.
    unit, range: a share, unless the two sums are of different things. guess: what an answer without looking scores, from the evidence.
    """

    name: str
    take: Callable[[Prediction, Sample], Evidence]
    split: Callable[[Evidence], tuple[float, float]]
    undefined: str
    higher_is_better: bool
    evidence_key: str
    unit: Unit = "rate"
    range: tuple[float, float | None] = (0.0, 1.0)
    counts_absent: bool = False
    guess: Callable[[Sequence[Evidence]], float | None] = lambda evidence: None
    is_rate: bool = field(default=False, init=False)

    def chance(self, evidence: Sequence[Evidence], /) -> float | None:
        return self.guess(evidence)

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return self.take(prediction, sample)

    def reduce(self, evidence: Sequence[Evidence], /) -> float:
        return whole(self, evidence, self.undefined)

    def resample(self, evidence: Sequence[Evidence], counts: numpy.ndarray, /) -> numpy.ndarray:
        sums = counts @ numpy.array([self.split(e) for e in evidence], dtype=numpy.float64).reshape(-1, 2)
        return quotient(sums[:, 0], sums[:, 1])


def whole(metric: Metric, evidence: Sequence[Evidence], undefined: str) -> float:
    """A metric's resample() with every sample drawn once: its reduce(). NotApplicable with the reason where it has no value."""
    value = float(metric.resample(evidence, numpy.ones((1, len(evidence)), dtype=numpy.int64))[0])
    if numpy.isnan(value):
        raise NotApplicable(f"{metric.name} is undefined: {undefined}")
    return value


def quotient(above: numpy.ndarray, below: numpy.ndarray) -> numpy.ndarray:
    """above / below in float64, NaN where below is 0. Equal shapes."""
    result: numpy.ndarray = numpy.divide(above, below, out=numpy.full(numpy.shape(above), numpy.nan), where=numpy.asarray(below) > 0)
    return result


def need(value: object, kind: type[T], metric: str) -> T:
    """`value` as the kind that a metric scores; NotApplicable where it is another task's."""
    if not isinstance(value, kind):
        raise NotApplicable(f"{metric} scores a {kind.__name__}, not a {type(value).__name__}: it is a metric of another task")
    return value


def finite(values: Tensor, what: str) -> Tensor:
    """`values`; NotApplicable where the model answered NaN or infinity, which is neither right nor wrong."""
    if not bool(values.isfinite().all()):
        raise NotApplicable(f"the model's {what} hold NaN or infinity", "not-finite")
    return values
