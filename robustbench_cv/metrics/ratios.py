"""What metrics are made of: a mean of zeros and ones, a ratio of two sums, and the guards that keep NaN out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy
import pyarrow

from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.evidence import Values, array_of
from robustbench_cv.metrics.metric import Metric, Unit
from robustbench_cv.types import Evidence, Prediction, Sample

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class Background(NamedTuple):
    """More evidence of every sample than a metric's own number is made of, stored under `key` as `type`: what it must be held against.

    measure: as a metric's; None where there is nothing to keep.
    """

    key: str
    type: pyarrow.DataType
    measure: Callable[[Prediction, Sample], Evidence | None]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The share of samples with an outcome. Evidence: whether it is there.

    outcome: of one sample; NotApplicable where the question means nothing there. guess: what a guess would score, None where that means
    nothing. background: evidence that is kept of every sample beside, see `hallucination_base_rates`.
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
    evidence_type: pyarrow.DataType = field(default=pyarrow.bool_(), init=False)

    def chance(self, evidence: Values, /) -> float | None:
        return self.guess

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return bool(self.outcome(prediction, sample))

    def reduce(self, evidence: Values, /) -> float:
        outcomes = array_of(evidence, self.evidence_type)
        if len(outcomes) == 0:
            raise NotApplicable(f"{self.name} is undefined: no sample")
        return int(outcomes.true_count) / len(outcomes)

    def resample(self, evidence: Values, counts: numpy.ndarray, /) -> numpy.ndarray:
        outcomes = array_of(evidence, self.evidence_type).to_numpy(zero_copy_only=False)
        return quotient(counts @ outcomes.astype(numpy.float64), counts.sum(axis=1))

    def influence(self, evidence: Values, /) -> numpy.ndarray:
        outcomes = array_of(evidence, self.evidence_type).to_numpy(zero_copy_only=False).astype(numpy.float64)
        centred: numpy.ndarray = (outcomes - outcomes.mean()) / len(outcomes)
        return centred


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A sum over the samples divided by another sum: never a mean of the samples' own ratios.

    split: the evidence of N samples -> their parts above the line (N,), and below it (N,). undefined: what is missing where all below is
    0. unit, range: a share, unless the two sums are of different things. guess: what an answer without looking scores, from the evidence.
    background: evidence that is kept of every sample beside.
    """

    name: str
    take: Callable[[Prediction, Sample], Evidence]
    split: Callable[[pyarrow.Array], tuple[numpy.ndarray, numpy.ndarray]]
    undefined: str
    higher_is_better: bool
    evidence_key: str
    evidence_type: pyarrow.DataType
    unit: Unit = "rate"
    range: tuple[float, float | None] = (0.0, 1.0)
    counts_absent: bool = False
    guess: Callable[[pyarrow.Array], float | None] = lambda evidence: None
    background: Background | None = None
    is_rate: bool = field(default=False, init=False)

    def chance(self, evidence: Values, /) -> float | None:
        return self.guess(array_of(evidence, self.evidence_type))

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return self.take(prediction, sample)

    def reduce(self, evidence: Values, /) -> float:
        return whole(self, evidence, self.undefined)

    def resample(self, evidence: Values, counts: numpy.ndarray, /) -> numpy.ndarray:
        above, below = self.parts(evidence)
        return quotient(counts @ above, counts @ below)

    def influence(self, evidence: Values, /) -> numpy.ndarray:
        above, below = self.parts(evidence)
        influence: numpy.ndarray = (above - above.sum() / below.sum() * below) / below.sum()
        return influence

    def parts(self, evidence: Values) -> tuple[numpy.ndarray, numpy.ndarray]:
        """What each sample adds above the line and below it: float64 (N,) both."""
        above, below = self.split(array_of(evidence, self.evidence_type))
        return numpy.asarray(above, dtype=numpy.float64), numpy.asarray(below, dtype=numpy.float64)


def whole(metric: Metric, evidence: Values, undefined: str) -> float:
    """A metric's resample() with every sample drawn once: its reduce(). NotApplicable with the reason where it has no value."""
    values = array_of(evidence, metric.evidence_type)
    value = float(metric.resample(values, numpy.ones((1, len(values)), dtype=numpy.int64))[0])
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
