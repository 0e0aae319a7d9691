"""COCO average precision: 101 recall points, 10 IoU thresholds, at most 100 detections of a class in an image (Lin et al. 2014, cocoapi).

Equal to pycocotools where images are listed in the order of their ids: equal scores of different images rank by id. Classes without an
annotated object are left out of the mean, so that whatever a model finds of them costs nothing here: `coverage` counts those detections,
and hallucination rates are the measure of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy

from robustbench_cv.catalogue import metric
from robustbench_cv.metrics.coco_matching import IOU_THRESHOLDS, SIZES, coco_mask_matches, coco_matches
from robustbench_cv.metrics.metric import Metric, Unit
from robustbench_cv.metrics.ratios import quotient, whole
from robustbench_cv.types import Evidence, Prediction, Sample

RECALLS = numpy.linspace(0.0, 1.0, 101)
_CELLS = 1_000_000  # of one working array, (D, b) float64: it bounds memory, not the result


@metric(task="detection")
def ap() -> Metric:
    """COCO AP: mean over IoU thresholds 0.50, 0.55 .. 0.95 and classes."""
    return AveragePrecision("ap")


@metric(task="detection")
def ap50() -> Metric:
    """COCO AP at IoU 0.50."""
    return AveragePrecision("ap50", thresholds=(0,))


@metric(task="detection")
def ap75() -> Metric:
    """COCO AP at IoU 0.75."""
    return AveragePrecision("ap75", thresholds=(5,))


@metric(task="detection")
def ap_small() -> Metric:
    """COCO AP of objects up to 32 x 32 pixels."""
    return AveragePrecision("ap-small", size="small")


@metric(task="detection")
def ap_medium() -> Metric:
    """COCO AP of objects from 32 x 32 to 96 x 96 pixels."""
    return AveragePrecision("ap-medium", size="medium")


@metric(task="detection")
def ap_large() -> Metric:
    """COCO AP of objects from 96 x 96 pixels."""
    return AveragePrecision("ap-large", size="large")


@metric(task="detection")
def mask_ap() -> Metric:
    """COCO AP of instance masks ("segm"): mean over IoU thresholds 0.50, 0.55 .. 0.95 and classes."""
    return AveragePrecision("mask-ap", masks=True)


@metric(task="detection")
def mask_ap50() -> Metric:
    """COCO AP of instance masks at IoU 0.50."""
    return AveragePrecision("mask-ap50", thresholds=(0,), masks=True)


@dataclass(frozen=True)
class AveragePrecision:
    """thresholds: positions in IOU_THRESHOLDS. size: a key of SIZES. masks: overlap is that of masks, not of boxes."""

    name: str
    thresholds: tuple[int, ...] = tuple(range(len(IOU_THRESHOLDS)))
    size: str = "all"
    masks: bool = False
    higher_is_better: bool = field(default=True, init=False)
    is_rate: bool = field(default=False, init=False)
    unit: Unit = field(default="rate", init=False)
    range: tuple[float, float | None] = field(default=(0.0, 1.0), init=False)
    counts_absent: bool = field(default=False, init=False)

    @property
    def evidence_key(self) -> str:
        return "coco-masks" if self.masks else "coco"

    def chance(self, evidence: Sequence[Evidence], /) -> float | None:
        return 0.0

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return coco_mask_matches(prediction, sample) if self.masks else coco_matches(prediction, sample)

    def reduce(self, evidence: Sequence[Evidence], /) -> float:
        return whole(self, evidence, f"no class has an annotated object{'' if self.size == 'all' else f' of size {self.size}'}")

    def resample(self, evidence: Sequence[Evidence], counts: numpy.ndarray, /) -> numpy.ndarray:
        weights = numpy.ascontiguousarray(counts.T, dtype=numpy.float64)
        total, classes = numpy.zeros(len(counts)), numpy.zeros(len(counts))
        for ranked in _by_class(evidence, list(SIZES).index(self.size)):
            step = max(1, _CELLS // max(1, len(ranked.image)))
            for b in range(0, len(counts), step):
                value, objects = _class_precision(ranked, weights[:, b : b + step], self.thresholds)
                total[b : b + step] += value
                classes[b : b + step] += objects > 0
        return quotient(total, classes)


class Ranked(NamedTuple):
    """All detections of one class, the most confident first: image, right and wrong bits (D,); objects of each image (N,)."""

    image: numpy.ndarray
    right: numpy.ndarray
    wrong: numpy.ndarray
    truths: numpy.ndarray


def _by_class(evidence: Sequence[Evidence], size: int) -> Iterator[Ranked]:
    """The classes with an annotated object of this size. Equal scores rank by sample id, then as the model had them."""
    place = {sample: k for k, sample in enumerate(sorted({e["id"] for e in evidence}))}
    for c in sorted({c for e in evidence for c, one in e["classes"].items() if one["truths"][size]}, key=int):
        truths = numpy.zeros(len(evidence))
        rows: list[tuple[float, int, int, int, int, int]] = []
        for n, e in enumerate(evidence):
            if c in e["classes"]:
                one = e["classes"][c]
                truths[n] = one["truths"][size]
                ranked = zip(one["scores"], one["right"][size], one["wrong"][size], strict=True)
                rows += [(-s, place[e["id"]], d, n, right, wrong) for d, (s, right, wrong) in enumerate(ranked)]
        rows.sort()
        image, right, wrong = numpy.array([row[3:] for row in rows], dtype=numpy.int64).reshape(-1, 3).T
        yield Ranked(image, right, wrong, truths)


def _class_precision(ranked: Ranked, weights: numpy.ndarray, thresholds: Sequence[int]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """weights (N, b) -> average precision (b,), 0 where a weighting draws no object, and the number of objects (b,)."""
    objects = ranked.truths @ weights
    drawn = weights[ranked.image]
    counted = ranked.right | ranked.wrong
    total, seen = numpy.zeros_like(objects), numpy.zeros_like(drawn)
    before = None
    for t in thresholds:
        mask = (counted >> t) & 1
        # Most thresholds ignore the same detections (none): their running counts are shared.
        if before is None or not numpy.array_equal(mask, before):
            seen, before = numpy.cumsum(drawn * mask[:, None], axis=0), mask
        hits = numpy.flatnonzero((ranked.right >> t) & 1)
        total += _interpolated_precision(numpy.cumsum(drawn[hits], axis=0), seen[hits], objects)
    return total / len(thresholds), objects


def _interpolated_precision(right: numpy.ndarray, seen: numpy.ndarray, objects: numpy.ndarray) -> numpy.ndarray:
    """Mean over RECALLS of the largest precision at that recall or beyond, 0 beyond the last.

    right, seen: running counts (P, b) at the P true positives, of these and of all detections. objects: (b,). Recall rises, and
    precision peaks, at true positives only, so that the others need not be visited.
    """
    if len(right) == 0:
        return numpy.zeros_like(objects)
    precision = right / (seen + numpy.spacing(1.0))
    envelope = numpy.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = quotient(right, numpy.broadcast_to(objects, right.shape))
    recall[:, objects == 0] = 0.0
    # How many recall points lie at or below each recall: the nearest one decides, compared exactly as a search would.
    nearest = numpy.rint(recall * 100).astype(numpy.intp)
    reached = nearest + (RECALLS[nearest] <= recall)
    mean: numpy.ndarray = (envelope * numpy.diff(reached, axis=0, prepend=0)).sum(axis=0) / len(RECALLS)
    return mean * (objects > 0)


class Coverage(NamedTuple):
    """classes: those with an annotated object. unscored: detections of all other classes, which no average precision sees."""

    classes: tuple[int, ...]
    unscored: int


def coverage(evidence: Sequence[Evidence]) -> Coverage:
    """What average precision reads, from the same evidence."""
    classes = {int(c) for e in evidence for c, one in e["classes"].items() if one["truths"][0]}
    unscored = sum(len(one["scores"]) for e in evidence for c, one in e["classes"].items() if int(c) not in classes)
    return Coverage(tuple(sorted(classes)), unscored)
