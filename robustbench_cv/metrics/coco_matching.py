"""One image's detections matched with its annotated objects by the rules of the COCO evaluation (Lin et al. 2014, cocoapi's cocoeval).

The evidence that all average precisions share, as parallel lists: of the classes that occur in the image `classes` and `truths` (annotated
objects of each size), and of the detections `labels`, `scores`, `right` and `wrong` (each size), by class and then by falling score. Bit k
of a detection's `right` says that it is a true positive at the k-th IoU threshold, of `wrong` a false positive; neither where it is ignored
(matched to a crowd or to an object outside the size, or unmatched and itself outside).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy
import pyarrow

from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.ratios import finite, need
from robustbench_cv.types import BoxPrediction, BoxTarget, Evidence, Prediction, Sample

IOU_THRESHOLDS = numpy.linspace(0.5, 0.95, 10)
"""0.50, 0.55 .. 0.95."""

SIZES: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Ranges of area in square pixels, both ends included: an object of exactly 32 x 32 is small and medium."""

MAX_DETECTIONS = 100
"""Detections kept of each class in each image, the most confident ones."""

_BITS = 1 << numpy.arange(len(IOU_THRESHOLDS))

_OF_EACH_SIZE = pyarrow.list_(pyarrow.int32(), len(SIZES))

MATCHES = pyarrow.struct(
    {
        "classes": pyarrow.list_(pyarrow.int32()),
        "truths": pyarrow.list_(_OF_EACH_SIZE),
        "labels": pyarrow.list_(pyarrow.int32()),
        "scores": pyarrow.list_(pyarrow.float64()),
        "right": pyarrow.list_(_OF_EACH_SIZE),
        "wrong": pyarrow.list_(_OF_EACH_SIZE),
    }
)
"""The type of the evidence of one image."""


class Objects(NamedTuple):
    """Annotated objects of one class: boxes float64 (G, 4), area (G,), crowd bool (G,)."""

    boxes: numpy.ndarray
    area: numpy.ndarray
    crowd: numpy.ndarray


class Pairs(NamedTuple):
    """Detections against objects: overlap (D, G); of the detections scores and area (D,); of the objects area (G,) and crowd bool (G,)."""

    overlap: numpy.ndarray
    scores: numpy.ndarray
    found_area: numpy.ndarray
    area: numpy.ndarray
    crowd: numpy.ndarray

    def of(self, detections: numpy.ndarray, objects: numpy.ndarray) -> Pairs:
        """Those that bool (D,) and (G,) name."""
        return Pairs(
            self.overlap[detections][:, objects],
            self.scores[detections],
            self.found_area[detections],
            self.area[objects],
            self.crowd[objects],
        )


def coco_matches(prediction: Prediction, sample: Sample) -> Evidence:
    """Evidence of one image by its boxes. Detections whose label is negative name no evaluated class and are left out."""
    detections = need(prediction, BoxPrediction, "average precision")
    target = need(sample.target, BoxTarget, "average precision")
    boxes, scores = finite(detections.boxes, "boxes").double().numpy(), finite(detections.scores, "scores").numpy()
    truths = Objects(target.boxes.double().numpy(), target.area.double().numpy(), target.crowd.numpy())
    sides = boxes[:, 2:] - boxes[:, :2]
    pairs = Pairs(overlaps(boxes, truths), scores, sides[:, 0] * sides[:, 1], truths.area, truths.crowd)
    return _by_class(pairs, detections.labels.numpy(), target.labels.numpy())


def coco_mask_matches(prediction: Prediction, sample: Sample) -> Evidence:
    """Evidence of one image by its masks. NotApplicable where the model predicts none, or the sample's objects have none."""
    detections = need(prediction, BoxPrediction, "mask average precision")
    target = need(sample.target, BoxTarget, "mask average precision")
    if detections.masks is None:
        raise NotApplicable("the model finds boxes, not masks: mask average precision is for instance segmentation (mask-rcnn)")
    if target.masks is None:
        raise NotApplicable(f"the objects of sample {sample.id} carry no masks (of COCO files, masks=True reads them)")
    own, true = (masks.flatten(1).numpy().astype(numpy.float32) for masks in (detections.masks, target.masks))
    crowd, areas = target.crowd.numpy(), own.sum(axis=1, dtype=numpy.float64)
    # Counts of pixels are whole numbers, exact in float32 up to 16.7 million.
    overlap = shares((own @ true.T).astype(numpy.float64), areas, true.sum(axis=1, dtype=numpy.float64), crowd)
    pairs = Pairs(overlap, finite(detections.scores, "scores").numpy(), areas, target.area.double().numpy(), crowd)
    return _by_class(pairs, detections.labels.numpy(), target.labels.numpy())


def _by_class(pairs: Pairs, labels: numpy.ndarray, truth: numpy.ndarray) -> Evidence:
    evidence: dict[str, list[object]] = {name: [] for name in ("classes", "truths", "labels", "scores", "right", "wrong")}
    for c in sorted({*labels.tolist(), *truth.tolist()}):
        if c >= 0:
            # a crowd of no evaluated class (label below 0) is a region where no class is scored
            one = _one_class(pairs.of(labels == c, (truth == c) | (truth < 0)))
            evidence["classes"].append(c)
            evidence["truths"].append(one.truths)
            evidence["labels"] += [c] * len(one.scores)
            evidence["scores"] += one.scores
            evidence["right"] += one.right
            evidence["wrong"] += one.wrong
    return evidence


class _OneClass(NamedTuple):
    """truths: of each size. scores: falling; right, wrong: of each detection, of each size."""

    truths: list[int]
    scores: list[float]
    right: list[list[int]]
    wrong: list[list[int]]


def _one_class(pairs: Pairs) -> _OneClass:
    order = numpy.argsort(-pairs.scores, kind="stable")[:MAX_DETECTIONS]
    ranges = numpy.array(list(SIZES.values()))
    ignored = pairs.crowd | _outside(pairs.area, ranges)
    matched, free = match(pairs.overlap[order], pairs.crowd, ignored)
    free |= ~matched & _outside(pairs.found_area[order], ranges)[:, None, :]
    return _OneClass(
        truths=(~ignored).sum(axis=1).tolist(),
        scores=pairs.scores[order].tolist(),
        right=numpy.einsum("atd,t->da", matched & ~free, _BITS).tolist(),
        wrong=numpy.einsum("atd,t->da", ~matched & ~free, _BITS).tolist(),
    )


def _outside(area: numpy.ndarray, ranges: numpy.ndarray) -> numpy.ndarray:
    """Which areas (K,) lie outside which ranges (A, 2): bool (A, K)."""
    outside: numpy.ndarray = (area < ranges[:, :1]) | (area > ranges[:, 1:])
    return outside


def overlaps(boxes: numpy.ndarray, objects: Objects) -> numpy.ndarray:
    """(D, 4) with G objects -> (D, G): intersection over union; over the detection's own area where the object is a crowd."""
    low = numpy.maximum(boxes[:, None, :2], objects.boxes[None, :, :2])
    high = numpy.minimum(boxes[:, None, 2:], objects.boxes[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=-1)
    own, other = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, objects.boxes))
    return shares(shared, own, other, objects.crowd)


def shares(shared: numpy.ndarray, own: numpy.ndarray, other: numpy.ndarray, crowd: numpy.ndarray) -> numpy.ndarray:
    """Areas shared (D, G), of detections (D,) and of objects (G,) -> intersection over union, or over the detection at a crowd."""
    base = numpy.where(crowd[None, :], own[:, None], own[:, None] + other[None, :] - shared)
    result: numpy.ndarray = numpy.divide(shared, base, out=numpy.zeros_like(shared), where=shared > 0)
    return result


def match(overlap: numpy.ndarray, crowd: numpy.ndarray, ignored: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Greedy one-to-one matching in the order of the rows, at every threshold T and for each of A ways to ignore objects.

    overlap (D, G); crowd (G,); ignored (A, G) -> (matched, matched to an ignored object), both bool (A, T, D).
    A detection takes the free object of largest overlap (the later one of equals), an ignored one only where no other reaches the
    threshold. A crowd stays free.
    """
    (D, G), A = overlap.shape, len(ignored)
    matched, free = (numpy.zeros((A, len(IOU_THRESHOLDS), D), dtype=bool) for _ in range(2))
    if G == 0:
        return matched, free
    # As in the reference, the stable order that puts ignored objects last decides which of equals is "later".
    order = numpy.argsort(ignored, axis=1, kind="stable")
    ignored, crowd = numpy.take_along_axis(ignored, order, 1)[:, None, :], crowd[order][:, None, :]
    taken = numpy.zeros((A, len(IOU_THRESHOLDS), G), dtype=bool)
    for d in range(D):
        row = overlap[d][order][:, None, :]
        open_ = (row >= IOU_THRESHOLDS[:, None]) & (~taken | crowd)
        counted = open_ & ~ignored
        open_ = numpy.where(counted.any(axis=2, keepdims=True), counted, open_)
        best = G - 1 - numpy.where(open_, row, -1.0)[:, :, ::-1].argmax(axis=2)[:, :, None]
        hit = numpy.take_along_axis(open_, best, 2)
        numpy.put_along_axis(taken, best, numpy.take_along_axis(taken, best, 2) | hit, 2)
        matched[:, :, d] = hit[:, :, 0]
        free[:, :, d] = (hit & numpy.take_along_axis(numpy.broadcast_to(ignored, taken.shape), best, 2))[:, :, 0]
    return matched, free
