"""The contract of a metric, and the estimate that a report prints."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal, Protocol, TypeAlias

import numpy
import pyarrow

from robustbench_cv.metrics.evidence import Values
from robustbench_cv.types import Evidence, Labels, Prediction, Sample

Unit: TypeAlias = Literal["rate", "count", "count per image", "pixels", "score"]
"""What a metric's number is: a share in [0, 1] (shown in percent), a number of things, or a score on its own scale, as it is."""


class Metric(Protocol):
    """measure() keeps a small value of each sample, reduce() makes one number of them, resample() the same for many weightings.

    evidence_type: the Arrow type of what measure() keeps, as which records hold it. reduce(), resample() and chance() get all of it as one
    Arrow array of that type, a row for each sample, in the rising order of the sample ids: what else is equal ranks by that order.
    is_rate: the evidence is true or false and the reduction its mean (a Wilson interval applies). unit, range: what the number is, and its
    least and largest value (None: no largest), as reports print and draw it. counts_absent: whether it counts what is reported where no
    such object is, which average precision does not see. evidence_key: metrics with equal keys measure the same evidence, taken and stored
    once under that key (AP, AP50 and AP75 read the same matches). Factories registered as metrics may take `labels: Labels` (the model's
    classes) and `operating_score: float` (ModelInfo's): the runner passes those that a factory names.
    """

    @property
    def name(self) -> str: ...
    @property
    def higher_is_better(self) -> bool: ...
    @property
    def is_rate(self) -> bool: ...
    @property
    def unit(self) -> Unit: ...
    @property
    def range(self) -> tuple[float, float | None]: ...
    @property
    def counts_absent(self) -> bool: ...
    @property
    def evidence_key(self) -> str: ...
    @property
    def evidence_type(self) -> pyarrow.DataType: ...

    def chance(self, evidence: Values, /) -> float | None:
        """What an answer that does not look at the image would score on these samples; None where that cannot be said.

        By definition (project choices): a guess among all classes, equally likely; the commonest class in every pixel; no box at all.
        """
        ...

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        """Evidence from a prediction and the sample it was made on (target, edit). NotApplicable where the metric means nothing there."""
        ...

    def reduce(self, evidence: Values, /) -> float:
        """One number. NotApplicable where it is undefined (no class has ground truth)."""
        ...

    def resample(self, evidence: Values, counts: numpy.ndarray, /) -> numpy.ndarray:
        """The reduction under B weightings: counts int (B, N), how often each sample was drawn -> float64 (B,), NaN where undefined."""
        ...


@dataclass(frozen=True)
class Estimate:
    """A number with what defends it. value is None where it is undefined, and `reason` says why; low and high bound 95 %.

    n: samples behind it; excluded: samples that were not applicable or failed. `reason` also says why an interval is missing.
    failed: of the excluded, those that should have an outcome and have none (NaN, an unreadable file). all_wrong, all_right: a rate with
    all of these wrong, and all of them right: between the two it lies. A number with failed samples decides nothing. caution: why the
    interval may hold less often than 95 %; empty where nothing speaks against it.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    excluded: int = 0
    _: KW_ONLY
    reason: str = ""
    failed: int = 0
    all_wrong: float | None = None
    all_right: float | None = None
    caution: str = ""


__all__ = ["Estimate", "Labels", "Metric", "Unit"]
