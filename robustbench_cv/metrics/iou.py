"""Intersection over union of segmentations, accumulated over the whole data set (never a mean of the images' own values).

Evidence of an image: the pixel counts `intersection`, `predicted` and `truth` of each class that occurs in it, over pixels whose truth is
not 255; a prediction there counts for nothing. A predicted value that names no evaluated class is wrong without being a false
positive of any. A class without a pixel in truth and prediction is left out of the mean; one that is predicted but absent from the truth
keeps its 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy
import pyarrow

from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.metrics.evidence import Values, array_of, row_of
from robustbench_cv.metrics.metric import Labels, Metric, Unit
from robustbench_cv.metrics.ratios import Ratio, need, quotient, whole
from robustbench_cv.types import IGNORE, Evidence, MaskPrediction, MaskTarget, Prediction, Sample

if TYPE_CHECKING:
    import torch

_KEY = "confusion"

CONFUSION = pyarrow.list_(
    pyarrow.struct({"class": pyarrow.int32(), "intersection": pyarrow.int64(), "predicted": pyarrow.int64(), "truth": pyarrow.int64()})
)
"""The type of the evidence of one image."""

_BACKGROUNDS = ("background", "__background__", "bg")


@metric(task="segmentation", title="mean IoU", paper="doi:10.1007/s11263-014-0733-5")
def miou() -> Metric:
    """Mean intersection over union of all classes, the background among them where there is one (as in PASCAL VOC)."""
    return MeanIoU("miou")


@metric(task="segmentation", title="mean IoU without background", paper="doi:10.1007/s11263-014-0733-5")
def miou_foreground(labels: Labels) -> Metric:
    """Mean intersection over union of all classes but the background: the class of that name, or index 0 where classes are numbered.

    Its pixels still count against the others. Undefined for models without a background class: miou is their figure.
    """
    named = [i for i, name in enumerate(labels.names) if name.lower() in _BACKGROUNDS]
    background = 0 if labels.are_numbered else named[0] if named else None
    return MeanIoU("miou-foreground", background, required=True)


@metric(task="segmentation", paper="doi:10.1007/s11263-014-0733-5")
def class_iou(of: str, labels: Labels) -> Metric:
    """Intersection over union of one class: class-iou(of='road')."""
    if of not in labels.names:
        raise UserError(f"class-iou(of={of!r}): the model has no such class; it has {', '.join(labels.names)}")
    return ClassIoU(labels.index(of), of)


@metric(task="segmentation", paper="doi:10.1007/s11263-014-0733-5")
def pixel_accuracy() -> Metric:
    """Share of the scored pixels with the right class."""
    return Ratio(
        name="pixel-accuracy",
        take=_confusion,
        split=_right_and_scored,
        undefined="no pixel is scored",
        higher_is_better=True,
        evidence_key=_KEY,
        evidence_type=CONFUSION,
        guess=_commonest,
    )


class Pixels(NamedTuple):
    """Counts of each class that occurs, (N, C) int64: intersection, predicted, truth; and the classes (C,), rising."""

    classes: numpy.ndarray
    intersection: numpy.ndarray
    predicted: numpy.ndarray
    truth: numpy.ndarray


def pixels_by_class(evidence: Values) -> Pixels:
    """The evidence of N images as dense counts, 0 where a class does not occur."""
    rows = array_of(evidence, CONFUSION)
    items, image = rows.flatten(), row_of(rows)
    classes, place = numpy.unique(items.field("class").to_numpy(), return_inverse=True)
    dense = numpy.zeros((3, len(rows), len(classes)), dtype=numpy.int64)
    for counts, name in zip(dense, ("intersection", "predicted", "truth"), strict=True):
        counts[image, place] = items.field(name).to_numpy()
    return Pixels(classes, *dense)


def _right_and_scored(evidence: pyarrow.Array) -> tuple[numpy.ndarray, numpy.ndarray]:
    pixels = pixels_by_class(evidence)
    return pixels.intersection.sum(axis=1), pixels.truth.sum(axis=1)


def _truth_pixels(evidence: Values) -> numpy.ndarray:
    """Scored pixels of each class that the truth holds."""
    every = pixels_by_class(evidence).truth.sum(axis=0)
    held: numpy.ndarray = every[every > 0]
    return held


def _commonest(evidence: pyarrow.Array) -> float | None:
    """Pixel accuracy of the commonest class in every pixel."""
    pixels = _truth_pixels(evidence)
    return float(pixels.max() / pixels.sum()) if len(pixels) else None


def _confusion(prediction: Prediction, sample: Sample) -> Evidence:
    """The counts of an image, by class. NotApplicable where no pixel of it is scored."""
    import torch

    predicted = need(prediction, MaskPrediction, _KEY).labels
    truth = need(sample.target, MaskTarget, _KEY).labels
    if predicted.shape != truth.shape:
        raise ValueError(f"a prediction has its target's shape, {tuple(truth.shape)}; got {tuple(predicted.shape)}")
    scored = _is_class(truth)
    if not bool(scored.any()):
        raise NotApplicable("no pixel is scored")
    predicted, truth = predicted[scored], truth[scored]
    kinds = [truth[predicted == truth], predicted[_is_class(predicted)], truth]
    size = max(int(v.max()) + 1 for v in kinds if len(v))
    counts = torch.stack([torch.bincount(v, minlength=size) for v in kinds], dim=1)
    present = counts.any(dim=1).nonzero()[:, 0]
    names = ("intersection", "predicted", "truth")
    return [{"class": c} | dict(zip(names, row, strict=True)) for c, row in zip(present.tolist(), counts[present].tolist(), strict=True)]


def _is_class(labels: torch.Tensor) -> torch.Tensor:
    return (labels >= 0) & (labels != IGNORE)


@dataclass(frozen=True)
class ClassIoU:
    """Intersection over union of the class `index`. Undefined where it occurs neither in truth nor in prediction."""

    index: int
    label: str
    higher_is_better: bool = field(default=True, init=False)
    is_rate: bool = field(default=False, init=False)
    unit: Unit = field(default="rate", init=False)
    range: tuple[float, float | None] = field(default=(0.0, 1.0), init=False)
    counts_absent: bool = field(default=False, init=False)
    evidence_key: str = field(default=_KEY, init=False)
    evidence_type: pyarrow.DataType = field(default=CONFUSION, init=False)

    @property
    def name(self) -> str:
        return f"class-iou(of={self.label!r})"

    def chance(self, evidence: Values, /) -> float | None:
        return None

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return _confusion(prediction, sample)

    def reduce(self, evidence: Values, /) -> float:
        return whole(self, evidence, "the class is in no truth and no prediction")

    def resample(self, evidence: Values, counts: numpy.ndarray, /) -> numpy.ndarray:
        return per_class(evidence, counts).get(self.index, numpy.full(len(counts), numpy.nan))

    def influence(self, evidence: Values, /) -> numpy.ndarray:
        return _influence_by_class(evidence)[self.index]


@dataclass(frozen=True)
class MeanIoU:
    """Mean of the classes' IoU. without: a class left out of the mean; required: undefined unless there is one to leave out."""

    name: str
    without: int | None = None
    required: bool = False
    higher_is_better: bool = field(default=True, init=False)
    is_rate: bool = field(default=False, init=False)
    unit: Unit = field(default="rate", init=False)
    range: tuple[float, float | None] = field(default=(0.0, 1.0), init=False)
    counts_absent: bool = field(default=False, init=False)
    evidence_key: str = field(default=_KEY, init=False)
    evidence_type: pyarrow.DataType = field(default=CONFUSION, init=False)

    def chance(self, evidence: Values, /) -> float | None:
        """Of the commonest class in every pixel: its share of the pixels, over the classes that the truth holds."""
        pixels = _truth_pixels(evidence)
        return float(pixels.max() / pixels.sum() / len(pixels)) if len(pixels) else None

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return _confusion(prediction, sample)

    def reduce(self, evidence: Values, /) -> float:
        if self.required and self.without is None:
            raise NotApplicable(f"{self.name} is undefined: the model has no class named background, so miou is the figure")
        return whole(self, evidence, "no class has a pixel in truth or prediction")

    def resample(self, evidence: Values, counts: numpy.ndarray, /) -> numpy.ndarray:
        values = [v for c, v in per_class(evidence, counts).items() if c != self.without]
        if not values or (self.required and self.without is None):
            return numpy.full(len(counts), numpy.nan)
        stacked = numpy.stack(values)
        present = ~numpy.isnan(stacked)
        return quotient(numpy.where(present, stacked, 0.0).sum(axis=0), present.sum(axis=0))

    def influence(self, evidence: Values, /) -> numpy.ndarray:
        mean: numpy.ndarray = numpy.mean([u for c, u in _influence_by_class(evidence).items() if c != self.without], axis=0)
        return mean


def _influence_by_class(evidence: Values) -> dict[int, numpy.ndarray]:
    """By how much every class's IoU falls when each image is left out: (N,), of sum 0, for the classes that occur.

    Exactly, since it costs no more than the derivative; a class of one image has nothing without it, and counts as unmoved.
    """
    pixels = pixels_by_class(evidence)
    n, union = len(pixels.intersection), pixels.predicted + pixels.truth - pixels.intersection
    shared, every = pixels.intersection.sum(axis=0), union.sum(axis=0)
    value = quotient(shared, every)
    change = numpy.nan_to_num(value - quotient(shared - pixels.intersection, every - union)) * (1 - 1 / n)
    change -= change.mean(axis=0)
    return {int(c): change[:, k] for k, c in enumerate(pixels.classes) if every[k]}


def per_class(evidence: Values, counts: numpy.ndarray) -> dict[int, numpy.ndarray]:
    """IoU of every class that occurs, under B weightings: counts (B, N) -> class -> float64 (B,), NaN where the class does not occur."""
    pixels, weights = pixels_by_class(evidence), counts.astype(numpy.float64)
    # float64 holds these sums exactly up to 2^53 pixels, and multiplies as fast as the machine can.
    shared, predicted, truth = (weights @ p.astype(numpy.float64) for p in pixels[1:])
    values = quotient(shared, predicted + truth - shared)
    return {int(c): values[:, k] for k, c in enumerate(pixels.classes)}
