"""Whether a model is as sure as it is right: calibration errors, Brier score and negative log-likelihood, for all three tasks.

What is judged, with how sure the model is of it, and whether it is right:

* a classifier's answer: the probability of its most probable class (Guo et al., ICML 2017, https://arxiv.org/abs/1706.04599);
* a segmenter's answer at 256 pixels of each image, the same ones in all images of a size: as a classifier's;
* a detector's reported boxes (of at least the operating score): the score, against whether COCO's matching at IoU 0.5 finds an object of
  the class (D-ECE by confidence alone; Küppers et al., CVPR Workshops 2020, https://arxiv.org/abs/2004.13546).

A calibration error of a detector without its operating score would be that of a thousand boxes that nobody sees, and depends on how many of
them a model returns (Kuzucu et al., ECCV 2024, https://arxiv.org/abs/2405.20459).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy
import pyarrow

from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.coco_matching import coco_matches
from robustbench_cv.metrics.evidence import Column, Values, array_of, row_of
from robustbench_cv.metrics.intervals import estimate
from robustbench_cv.metrics.metric import Estimate, Metric, Unit
from robustbench_cv.metrics.ratios import Ratio, finite, need, quotient, whole
from robustbench_cv.types import (
    ABSENT,
    IGNORE,
    BoxPrediction,
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    Evidence,
    MaskPrediction,
    MaskTarget,
    Prediction,
    Sample,
)

BINS = 15
"""Of equal width, as in Guo et al.; the k-th is (k / 15, (k + 1) / 15]."""

CALIBRATION = pyarrow.struct(
    {
        "confidence": pyarrow.list_(pyarrow.float32()),
        "right": pyarrow.list_(pyarrow.bool_()),
        "brier": pyarrow.float64(),
        "nll": pyarrow.float64(),
    }
)
"""The type of the evidence of one image: of each answer how sure, and whether right; sums of the answers' Brier scores and negative
log-likelihoods, missing where there is no distribution over classes (boxes)."""

_LEAST = 1e-12  # a probability of 0 has no logarithm

Take = Callable[[Prediction, Sample], Evidence]


@metric()
def ece(operating_score: Fraction) -> Metric:
    """Expected calibration error: the mean distance of confidence and share of right answers over 15 bins of confidence, by their counts.

    Of few answers it lies above that of many, however well a model is calibrated: a bin's share of n right answers strays from the truth by
    about 1 / sqrt(n), and the distance takes no sign (with 15 filled bins and 64 answers some 20 points, with 1,000 some 4).
    `debiased-calibration-error` corrects for that. Its interval holds where a model is off by several points; of one that is nearly
    calibrated it still lies too high (92 % of the intervals of 1,000 answers hold, 75 % of those of 64).
    """
    return CalibrationError("ece", operating_score)


@metric()
def debiased_calibration_error(operating_score: Fraction) -> Metric:
    """Root mean square calibration error over 15 bins, with what few images add by chance taken away; 0 where nothing is left.

    The squared distance of a bin less the part that single images add to it, so that its mean is that of many images (Kumar, Liang & Ma,
    NeurIPS 2019, https://arxiv.org/abs/1909.10155, with images for their independent answers; bins of equal width are a project choice).
    It has no interval: by simulation none held of well calibrated models.
    """
    return CalibrationError("debiased-calibration-error", operating_score, is_debiased=True)


@metric()
def brier(operating_score: Fraction) -> Metric:
    """Brier score: the sum over classes of the squared distance of probability and truth, 0 to 2, a mean over images (pixels: Brier 1950).

    Of classifiers and segmenters: boxes have no distribution over classes.
    """
    return _mean("brier", "brier", operating_score, (0.0, 2.0))


@metric()
def nll(operating_score: Fraction) -> Metric:
    """Negative log-likelihood of the right class in nats, a mean over images (pixels). A probability below 1e-12 counts as that.

    Of classifiers and segmenters: boxes have no distribution over classes.
    """
    return _mean("nll", "nll", operating_score, (0.0, None))


def _mean(name: str, of: str, operating_score: float, bounds: tuple[float, float | None]) -> Metric:
    def split(evidence: pyarrow.Array) -> tuple[numpy.ndarray, numpy.ndarray]:
        sums = evidence.field(of).to_numpy(zero_copy_only=False)
        counts = evidence.field("right").value_lengths().to_numpy(zero_copy_only=False)
        known = ~numpy.isnan(sums)
        return numpy.where(known, sums, 0.0), numpy.where(known, counts, 0)

    def take(prediction: Prediction, sample: Sample) -> Evidence:
        if isinstance(prediction, BoxPrediction):
            raise NotApplicable(f"{name} scores a distribution over classes, and boxes have none")
        return calibration(prediction, sample, operating_score)

    return Ratio(
        name=name,
        take=take,
        split=split,
        undefined="no answer with probabilities",
        higher_is_better=False,
        evidence_key=_key(operating_score),
        evidence_type=CALIBRATION,
        unit="score",
        range=bounds,
    )


def _key(operating_score: float) -> str:
    return f"calibration@{operating_score:g}"


class _Sums(NamedTuple):
    """Of each image and bin (N, 15): confidence less right, summed, and how many answers."""

    gap: numpy.ndarray
    answers: numpy.ndarray


def _sums(evidence: Values) -> _Sums:
    values = array_of(evidence, CALIBRATION)
    lists = values.field("confidence")
    image, confidence = row_of(lists), lists.flatten().to_numpy(zero_copy_only=False).astype(numpy.float64)
    right = values.field("right").flatten().to_numpy(zero_copy_only=False).astype(numpy.float64)
    place = image * BINS + bin_of(confidence)
    shape = len(values), BINS
    gap = numpy.bincount(place, weights=confidence - right, minlength=len(values) * BINS).reshape(shape)
    return _Sums(gap, numpy.bincount(place, minlength=len(values) * BINS).reshape(shape).astype(numpy.float64))


def bin_of(confidence: numpy.ndarray) -> numpy.ndarray:
    """The bin of each confidence."""
    bins: numpy.ndarray = (numpy.ceil(confidence * BINS) - 1).clip(0, BINS - 1).astype(numpy.int64)
    return bins


@dataclass(frozen=True)
class CalibrationError:
    """The mean distance of confidence and share of right answers over bins, or the root of its mean square without what chance adds."""

    name: str
    operating_score: float
    is_debiased: bool = False
    higher_is_better: bool = field(default=False, init=False)
    is_rate: bool = field(default=False, init=False)
    unit: Unit = field(default="rate", init=False)
    range: tuple[float, float | None] = field(default=(0.0, 1.0), init=False)
    counts_absent: bool = field(default=False, init=False)
    evidence_type: pyarrow.DataType = field(default=CALIBRATION, init=False)
    bias_exponent: float = field(default=0.5, init=False)
    """Of the mean distance: chance adds about n^-1/2 to it."""

    @property
    def fewest(self) -> int | None:
        """By simulation (docs/intervals.md): a root of what may be nothing has no interval that holds."""
        return None if self.is_debiased else 1000

    @property
    def evidence_key(self) -> str:
        return _key(self.operating_score)

    def chance(self, evidence: Values, /) -> float | None:
        return None

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return calibration(prediction, sample, self.operating_score)

    def reduce(self, evidence: Values, /) -> float:
        return whole(self, evidence, "no answer to judge")

    def resample(self, evidence: Values, counts: numpy.ndarray, /) -> numpy.ndarray:
        sums, weights = _sums(evidence), counts.astype(numpy.float64)
        gap, count = weights @ sums.gap, weights @ sums.answers
        if not self.is_debiased:
            return quotient(numpy.abs(gap).sum(axis=1), count.sum(axis=1))
        chance = weights @ sums.gap**2
        square = numpy.divide(gap**2 - chance, count, out=numpy.zeros_like(gap), where=count > 0).sum(axis=1)
        root: numpy.ndarray = numpy.sqrt(quotient(square.clip(min=0), count.sum(axis=1)))
        return root


def calibration(prediction: Prediction, sample: Sample, operating_score: float) -> Evidence:
    """The evidence of one image. NotApplicable where there is nothing to judge, or a segmenter tells no probabilities."""
    match prediction:
        case ClassPrediction():
            return _of_class(prediction, need(sample.target, ClassTarget, "calibration"))
        case MaskPrediction():
            return _of_pixels(prediction, need(sample.target, MaskTarget, "calibration"))
        case BoxPrediction():
            need(sample.target, BoxTarget, "calibration")
            return _of_boxes(prediction, sample, operating_score)


def _of_class(prediction: ClassPrediction, target: ClassTarget) -> Evidence:
    probs = finite(prediction.probs, "probabilities").double().numpy()
    if target.label == ABSENT:
        raise NotApplicable("the object was removed: no class is right")
    if not 0 <= target.label < len(probs):
        raise NotApplicable(f"calibration: label {target.label} is not one of the model's {len(probs)} classes")
    return _evidence(probs[None], numpy.array([prediction.label]), numpy.array([target.label]))


def _of_pixels(prediction: MaskPrediction, target: MaskTarget) -> Evidence:
    if prediction.sampled is None:
        raise NotApplicable("the model gives labels of pixels without probabilities (MaskPrediction.sampled)")
    positions = prediction.sampled.positions
    probs = finite(prediction.sampled.values, "probabilities").double().numpy()
    said, truth = (labels.flatten()[positions].numpy() for labels in (prediction.labels, target.labels))
    scored = (truth >= 0) & (truth != IGNORE) & (truth < probs.shape[1])
    if not scored.any():
        raise NotApplicable("none of the sampled pixels is scored")
    return _evidence(probs[scored], said[scored], truth[scored])


def _evidence(probs: numpy.ndarray, said: numpy.ndarray, truth: numpy.ndarray) -> Evidence:
    """probs (P, C); said, truth (P,)."""
    of_truth = probs[numpy.arange(len(truth)), truth]
    return {
        "confidence": probs.max(axis=1).astype(numpy.float32).tolist(),
        "right": (said == truth).tolist(),
        "brier": float(((probs**2).sum(axis=1) - 2 * of_truth + 1).sum()),
        "nll": float(-numpy.log(of_truth.clip(min=_LEAST)).sum()),
    }


def _of_boxes(prediction: BoxPrediction, sample: Sample, operating_score: float) -> Evidence:
    matches = coco_matches(prediction, sample)
    judged = [
        (score, bool(right[0] & 1))
        for score, right, wrong in zip(matches["scores"], matches["right"], matches["wrong"], strict=True)
        if (right[0] | wrong[0]) & 1 and score >= operating_score
    ]
    return {"confidence": [score for score, _ in judged], "right": [right for _, right in judged], "brier": None, "nll": None}


class Bin(NamedTuple):
    """Answers of one range of confidence: the middle of the range, mean confidence, share of right answers, and how many there are."""

    middle: float
    confidence: float
    right: Estimate
    answers: int


class Reliability(NamedTuple):
    """bins: those with answers, rising. confidence, right: means over all answers; gap: the first less the second (above 0: too sure)."""

    bins: list[Bin]
    confidence: Estimate
    right: Estimate
    gap: Estimate


def reliability(evidence: Column, excluded: int = 0) -> Reliability:
    """What a reliability diagram shows, from the evidence of a calibration error."""
    lists = evidence.values.field("confidence")
    n, image = len(evidence), row_of(lists)
    confidence = lists.flatten().to_numpy(zero_copy_only=False).astype(numpy.float64)
    right = evidence.values.field("right").flatten().to_numpy(zero_copy_only=False).astype(numpy.float64)

    def mean(values: numpy.ndarray, chosen: numpy.ndarray, bounds: tuple[float, float]) -> Estimate:
        above, below = (numpy.bincount(image[chosen], weights=v[chosen], minlength=n) for v in (values, numpy.ones(len(values))))
        if not chosen.all():  # of a bin, only images with an answer in it: the others say nothing of its spread
            above, below = above[below > 0], below[below > 0]
        sums = pyarrow.StructArray.from_arrays([pyarrow.array(part, pyarrow.float64()) for part in (above, below)], fields=list(_SUMS))
        return estimate(_mean_of(bounds), sums, excluded=excluded)

    place, every = bin_of(confidence), numpy.ones(len(confidence), dtype=bool)
    bins = [
        Bin((k + 0.5) / BINS, float(confidence[here].mean()), mean(right, here, (0.0, 1.0)), int(here.sum()))
        for k in range(BINS)
        if (here := place == k).any()
    ]
    whole_, share = mean(confidence, every, (0.0, 1.0)), mean(right, every, (0.0, 1.0))
    return Reliability(bins, whole_, share, mean(confidence - right, every, (-1.0, 1.0)))


_SUMS = pyarrow.struct({"above": pyarrow.float64(), "below": pyarrow.float64()})


def _mean_of(bounds: tuple[float, float]) -> Metric:
    return Ratio(
        name="mean over answers",
        take=_not_measured,
        split=lambda sums: (sums.field("above").to_numpy(), sums.field("below").to_numpy()),
        undefined="no answer to judge",
        higher_is_better=True,
        evidence_key="answers",
        evidence_type=_SUMS,
        range=bounds,
    )


def _not_measured(prediction: Prediction, sample: Sample) -> Evidence:
    raise NotApplicable("made of the evidence of a calibration error, not of a prediction")
