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
import pyarrow

from robustbench_cv.catalogue import metric
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.average_precision_influence import precision_influence
from robustbench_cv.metrics.coco_matching import IOU_THRESHOLDS, MATCHES, SIZES, coco_mask_matches, coco_matches
from robustbench_cv.metrics.evidence import Values, array_of, row_of
from robustbench_cv.metrics.influence_functions import GROUPS, left_out
from robustbench_cv.metrics.metric import Labels, Metric, Unit
from robustbench_cv.metrics.ratios import quotient, whole
from robustbench_cv.types import Evidence, Prediction, Sample

RECALLS = numpy.linspace(0.0, 1.0, 101)
CELLS = 1_000_000  # of one working array, (D, b) float64: it bounds memory, not the result


@metric(task="detection", title="AP", paper="arXiv:1405.0312")
def ap() -> Metric:
    """COCO AP: mean over IoU thresholds 0.50, 0.55 .. 0.95 and classes."""
    return AveragePrecision("ap")


@metric(task="detection", title="AP50", paper="arXiv:1405.0312")
def ap50() -> Metric:
    """COCO AP at IoU 0.50."""
    return AveragePrecision("ap50", thresholds=(0,))


@metric(task="detection", title="AP75", paper="arXiv:1405.0312")
def ap75() -> Metric:
    """COCO AP at IoU 0.75."""
    return AveragePrecision("ap75", thresholds=(5,))


@metric(task="detection", title="AP, small objects", paper="arXiv:1405.0312")
def ap_small() -> Metric:
    """COCO AP of objects up to 32 x 32 pixels."""
    return AveragePrecision("ap-small", size="small")


@metric(task="detection", title="AP, medium objects", paper="arXiv:1405.0312")
def ap_medium() -> Metric:
    """COCO AP of objects from 32 x 32 to 96 x 96 pixels."""
    return AveragePrecision("ap-medium", size="medium")


@metric(task="detection", title="AP, large objects", paper="arXiv:1405.0312")
def ap_large() -> Metric:
    """COCO AP of objects from 96 x 96 pixels."""
    return AveragePrecision("ap-large", size="large")


@metric(task="detection", paper="arXiv:1405.0312")
def class_ap(of: str, labels: Labels) -> Metric:
    """COCO AP of one class: class-ap(of='car'). UserError where the model has no such class."""
    if of not in labels.names:
        raise UserError(f"class-ap(of={of!r}): the model has no such class; it has {', '.join(labels.names)}")
    return AveragePrecision(f"class-ap(of={of!r})", only=labels.index(of))


@metric(task="detection", title="mask AP", paper="arXiv:1405.0312")
def mask_ap() -> Metric:
    """COCO AP of instance masks ("segm"): mean over IoU thresholds 0.50, 0.55 .. 0.95 and classes."""
    return AveragePrecision("mask-ap", masks=True)


@metric(task="detection", title="mask AP50", paper="arXiv:1405.0312")
def mask_ap50() -> Metric:
    """COCO AP of instance masks at IoU 0.50."""
    return AveragePrecision("mask-ap50", thresholds=(0,), masks=True)


@dataclass(frozen=True)
class AveragePrecision:
    """thresholds: positions in IOU_THRESHOLDS. size: a key of SIZES. masks: overlap is that of masks, not of boxes. only: of one class."""

    name: str
    thresholds: tuple[int, ...] = tuple(range(len(IOU_THRESHOLDS)))
    size: str = "all"
    masks: bool = False
    only: int | None = None
    higher_is_better: bool = field(default=True, init=False)
    is_rate: bool = field(default=False, init=False)
    unit: Unit = field(default="rate", init=False)
    range: tuple[float, float | None] = field(default=(0.0, 1.0), init=False)
    counts_absent: bool = field(default=False, init=False)
    evidence_type: pyarrow.DataType = field(default=MATCHES, init=False)
    bias_exponent: float = field(default=0.6, init=False)
    """By simulation: the largest of noisy precisions lies above the true one by about n^-0.6 (docs/intervals.md)."""

    @property
    def evidence_key(self) -> str:
        return "coco-masks" if self.masks else "coco"

    def chance(self, evidence: Values, /) -> float | None:
        return 0.0

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return coco_mask_matches(prediction, sample) if self.masks else coco_matches(prediction, sample)

    def reduce(self, evidence: Values, /) -> float:
        which = "no class has an" if self.only is None else "the class has no"
        return whole(self, evidence, f"{which} annotated object{'' if self.size == 'all' else f' of size {self.size}'}")

    def resample(self, evidence: Values, counts: numpy.ndarray, /) -> numpy.ndarray:
        weights = numpy.ascontiguousarray(counts.T, dtype=numpy.float64)
        total, classes = numpy.zeros(len(counts)), numpy.zeros(len(counts))
        for ranked in by_class(evidence, self.size, self.only):
            step = max(1, CELLS // max(1, len(ranked.image)))
            for b in range(0, len(counts), step):
                value, objects = class_precision(ranked, weights[:, b : b + step], self.thresholds)
                total[b : b + step] += value
                classes[b : b + step] += objects > 0
        return quotient(total, classes)

    def influence(self, evidence: Values, /) -> numpy.ndarray:
        """Of few images by leaving each out, which shows more of what few images do; beyond, by the derivative, which costs far less."""
        values = array_of(evidence, MATCHES)
        if len(values) <= GROUPS:
            return left_out(self, values, self.reduce(values))
        parts = [precision_influence(*ranked, self.thresholds) for ranked in by_class(evidence, self.size, self.only)]
        mean: numpy.ndarray = numpy.mean(parts, axis=0)
        return mean


class Ranked(NamedTuple):
    """All detections of one class, the most confident first: image, right and wrong bits (D,); objects of each image (N,)."""

    image: numpy.ndarray
    right: numpy.ndarray
    wrong: numpy.ndarray
    truths: numpy.ndarray


def by_class(evidence: Values, size: str = "all", only: int | None = None) -> Iterator[Ranked]:
    """The classes with an annotated object of this size, rising, or one of them. Equal scores rank by image, then as the model had them."""
    matches, s = array_of(evidence, MATCHES), list(SIZES).index(size)
    lists = {name: matches.field(k) for k, name in enumerate(("classes", "truths", "labels", "scores", "right", "wrong"))}
    items = {name: column.flatten() for name, column in lists.items()}
    truths = of_size(items["truths"], s)
    labels, image = items["labels"].to_numpy(), row_of(lists["labels"])
    order = numpy.lexsort((-items["scores"].to_numpy(), labels))
    labels, image = labels[order], image[order]
    right, wrong = (of_size(items[name], s)[order] for name in ("right", "wrong"))
    classes, held_by = items["classes"].to_numpy(), row_of(lists["classes"])
    for c in numpy.unique(classes[(truths > 0) & ((classes == only) if only is not None else True)]):
        first, last = numpy.searchsorted(labels, [c, c + 1])
        here = classes == c
        objects = numpy.zeros(len(matches))
        objects[held_by[here]] = truths[here]
        yield Ranked(image[first:last], right[first:last], wrong[first:last], objects)


def of_size(items: pyarrow.Array, size: int) -> numpy.ndarray:
    """Of numbers for each size (K, 4), those of one (K,)."""
    every: numpy.ndarray = items.flatten().to_numpy().reshape(-1, len(SIZES))
    return every[:, size].astype(numpy.int64)


def class_precision(ranked: Ranked, weights: numpy.ndarray, thresholds: Sequence[int]) -> tuple[numpy.ndarray, numpy.ndarray]:
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


def coverage(evidence: Values) -> Coverage:
    """What average precision reads, from the same evidence."""
    matches = array_of(evidence, MATCHES)
    classes, truths, labels = (matches.field(k).flatten() for k in range(3))
    held = numpy.unique(classes.to_numpy()[of_size(truths, 0) > 0])
    return Coverage(tuple(held.tolist()), int((~numpy.isin(labels.to_numpy(), held)).sum()))
