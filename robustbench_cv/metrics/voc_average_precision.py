"""Pascal VOC's average precisions at IoU 0.5: the mean of 11 points until 2009, the area under the curve since 2010.

Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010, and its devkit (VOCevaldet.m): each detection, the most
confident first, goes to the object of its class that it overlaps most. With IoU 0.5 or more it is right where that object is free, wrong
where it is taken already, and neither where it is difficult; below it is wrong. Widths count whole pixels, which of boxes from edge to edge
is x2 - x1. Our crowds are the devkit's difficult objects. One of no evaluated class (label below 0), which the devkit does not know, makes
a detection of any class count neither way that overlaps it by IoU 0.5 and no object of its own class so much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy
import pyarrow

from robustbench_cv.catalogue import metric
from robustbench_cv.metrics.coco_matching import Objects, overlaps
from robustbench_cv.metrics.evidence import Values, array_of, row_of
from robustbench_cv.metrics.metric import Metric, Unit
from robustbench_cv.metrics.ratios import finite, need, quotient, whole
from robustbench_cv.types import BoxPrediction, BoxTarget, Evidence, Prediction, Sample

MATCHES = pyarrow.struct(
    {
        "classes": pyarrow.list_(pyarrow.int32()),
        "truths": pyarrow.list_(pyarrow.int32()),
        "labels": pyarrow.list_(pyarrow.int32()),
        "scores": pyarrow.list_(pyarrow.float64()),
        "verdicts": pyarrow.list_(pyarrow.int8()),
    }
)
"""The type of the evidence of one image: objects that are not difficult by class; of each detection RIGHT, WRONG or NEITHER."""

NEITHER, WRONG, RIGHT = range(3)

_IOU = 0.5
_TENTHS = tuple(k / 10 for k in range(11))


@metric(task="detection", title="VOC 2007 AP", paper="doi:10.1007/s11263-014-0733-5")
def ap_voc07() -> Metric:
    """Pascal VOC's average precision of 2007: the mean over recalls 0, 0.1 .. 1 of the best precision at that recall or more, IoU 0.5."""
    return VocAveragePrecision("ap-voc07")


@metric(task="detection", title="VOC 2010 AP", paper="doi:10.1007/s11263-014-0733-5")
def ap_voc10() -> Metric:
    """Pascal VOC's average precision since 2010: the area under the precision-recall curve made falling, IoU 0.5."""
    return VocAveragePrecision("ap-voc10")


@dataclass(frozen=True)
class VocAveragePrecision:
    """The mean over the classes with an object that is not difficult."""

    name: str
    higher_is_better: bool = field(default=True, init=False)
    is_rate: bool = field(default=False, init=False)
    unit: Unit = field(default="rate", init=False)
    range: tuple[float, float | None] = field(default=(0.0, 1.0), init=False)
    counts_absent: bool = field(default=False, init=False)
    evidence_key: str = field(default="voc", init=False)
    evidence_type: pyarrow.DataType = field(default=MATCHES, init=False)
    bias_exponent: float = field(default=0.6, init=False)

    def chance(self, evidence: Values, /) -> float | None:
        return 0.0

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return voc_matches(prediction, sample)

    def reduce(self, evidence: Values, /) -> float:
        return whole(self, evidence, "no class has an annotated object that is not difficult")

    def resample(self, evidence: Values, counts: numpy.ndarray, /) -> numpy.ndarray:
        total, classes = numpy.zeros(len(counts)), numpy.zeros(len(counts))
        for ranked in _by_class(array_of(evidence, MATCHES)):
            for b, weights in enumerate(counts.astype(numpy.float64)):
                objects = float(ranked.truths @ weights)
                if objects > 0:
                    total[b] += self._precision(ranked, weights, objects)
                    classes[b] += 1
        return quotient(total, classes)

    def _precision(self, ranked: _Ranked, weights: numpy.ndarray, objects: float) -> float:
        """Of one class, with each image counted so often."""
        times = weights[ranked.image]
        right = numpy.cumsum(times * (ranked.verdict == RIGHT))
        wrong = numpy.cumsum(times * (ranked.verdict == WRONG))
        recall, precision = right / objects, quotient(right, right + wrong)
        there = ~numpy.isnan(precision)
        recall, precision = recall[there], precision[there]
        if self.name == "ap-voc07":
            return sum(float(precision[recall >= t - 1e-12].max(initial=0.0)) for t in _TENTHS) / len(_TENTHS)
        recall, precision = numpy.concatenate([[0.0], recall, [1.0]]), numpy.concatenate([[0.0], precision, [0.0]])
        envelope = numpy.maximum.accumulate(precision[::-1])[::-1]
        return float((numpy.diff(recall) * envelope[1:]).sum())


class _Ranked(NamedTuple):
    """The detections of a class, the most confident first: image and verdict (D,); its objects by image (N,)."""

    image: numpy.ndarray
    verdict: numpy.ndarray
    truths: numpy.ndarray


def _by_class(evidence: pyarrow.Array) -> Iterator[_Ranked]:
    names = ("classes", "truths", "labels", "scores", "verdicts")
    of_class, truths, labels, scores, verdicts = (evidence.field(k).flatten().to_numpy(zero_copy_only=False) for k in names)
    held_by, image = row_of(evidence.field("classes")), row_of(evidence.field("labels"))
    order = numpy.argsort(-scores, kind="stable")
    labels, verdicts, image = labels[order], verdicts[order], image[order]
    for c in numpy.unique(of_class[truths > 0]):
        objects = numpy.bincount(held_by[of_class == c], weights=truths[of_class == c], minlength=len(evidence))
        yield _Ranked(image[labels == c], verdicts[labels == c], objects)


def voc_matches(prediction: Prediction, sample: Sample) -> Evidence:
    """The evidence of one image. Detections and objects whose label is negative name no evaluated class and are left out."""
    detections = need(prediction, BoxPrediction, "VOC's average precision")
    target = need(sample.target, BoxTarget, "VOC's average precision")
    boxes, scores = finite(detections.boxes, "boxes").double().numpy(), finite(detections.scores, "scores").double().numpy()
    labels, truth, difficult = detections.labels.numpy(), target.labels.numpy(), target.crowd.numpy()
    nobody = numpy.zeros(len(truth), dtype=bool)  # plain intersection over union, of difficult objects too
    overlap = overlaps(boxes, Objects(target.boxes.double().numpy(), target.area.double().numpy(), nobody))
    verdicts = numpy.full(len(boxes), WRONG)
    taken: set[int] = set()
    for d in numpy.argsort(-scores, kind="stable"):
        own = numpy.where(truth == labels[d], overlap[d], -1.0)
        if own.max(initial=-1.0) < _IOU:
            verdicts[d] = NEITHER if (overlap[d][truth < 0] >= _IOU).any() else WRONG
            continue
        best = int(own.argmax())
        verdicts[d] = NEITHER if difficult[best] else WRONG if best in taken else RIGHT
        taken.add(best)
    classes = sorted({int(c) for c in truth[~difficult] if c >= 0})
    judged = labels >= 0
    return {
        "classes": classes,
        "truths": [int(((truth == c) & ~difficult).sum()) for c in classes],
        "labels": labels[judged].tolist(),
        "scores": scores[judged].tolist(),
        "verdicts": verdicts[judged].tolist(),
    }
