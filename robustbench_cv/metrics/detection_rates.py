"""What happens to objects and boxes at the score at which a detector's boxes count as reported: found, vanished, mislabelled, fabricated.

AP sees none of this directly. Evidence of an image, which all share: {"objects": [state of each annotated object that is no crowd],
"fabricated": boxes, "boxes": boxes}. Definitions, at IoU 0.5 and the operating score (project choices):

* found: matched one to one, by falling score, with a box of its own class;
* vanished: no box of any class overlaps it;
* mislabelled: boxes overlap it, none of them of its class;
* fabricated: a box that overlaps no annotated object, of any class (a crowd counts as overlapped by boxes that lie half inside it).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy
import pyarrow

from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import metric
from robustbench_cv.metrics.coco_matching import Objects, overlaps
from robustbench_cv.metrics.evidence import row_of
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.ratios import Ratio, finite, need
from robustbench_cv.types import BoxPrediction, BoxTarget, Evidence, Prediction, Sample

VANISHED, MISLABELLED, CLAIMED, FOUND = range(4)
"""States of an object; CLAIMED: boxes of its class overlap it, but each is another object's match."""

OBJECTS = pyarrow.struct({"objects": pyarrow.list_(pyarrow.int8()), "fabricated": pyarrow.int32(), "boxes": pyarrow.int32()})
"""The type of the evidence of one image."""

Guess: TypeAlias = Callable[[pyarrow.Array], float | None]

_IOU = 0.5  # to overlap, one way or the other


@metric(task="detection")
def detection_rate(operating_score: Fraction) -> Metric:
    """Share of the annotated objects that are found (recall at the operating score, IoU 0.5, right class)."""
    return _share("detection-rate", FOUND, operating_score, higher_is_better=True, guess=lambda evidence: 0.0)


@metric(task="detection")
def vanished(operating_score: Fraction) -> Metric:
    """Share of the annotated objects that no reported box overlaps, whatever its class."""
    return _share("vanished", VANISHED, operating_score, higher_is_better=False)


@metric(task="detection")
def mislabelled(operating_score: Fraction) -> Metric:
    """Share of the annotated objects that are overlapped by reported boxes of other classes only."""
    return _share("mislabelled", MISLABELLED, operating_score, higher_is_better=False)


@metric(task="detection")
def fabricated_per_image(operating_score: Fraction) -> Metric:
    """Reported boxes per image that overlap no annotated object."""
    return Ratio(
        name="fabricated-per-image",
        take=_taker(operating_score),
        split=lambda e: (e.field("fabricated").to_numpy(), numpy.ones(len(e))),
        undefined="no image",
        higher_is_better=False,
        evidence_key=_key(operating_score),
        evidence_type=OBJECTS,
        unit="count per image",
        range=(0.0, None),
        counts_absent=True,
    )


def _share(name: str, state: int, operating_score: float, *, higher_is_better: bool, guess: Guess = lambda evidence: None) -> Metric:
    return Ratio(
        name=name,
        take=_taker(operating_score),
        split=lambda evidence: _count_objects(evidence, state),
        undefined="no annotated object",
        higher_is_better=higher_is_better,
        evidence_key=_key(operating_score),
        evidence_type=OBJECTS,
        guess=guess,
    )


def _count_objects(evidence: pyarrow.Array, state: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """How many objects of each image are in a state, and how many there are."""
    objects = evidence.field("objects")
    image, states = row_of(objects), objects.flatten().to_numpy()
    return tuple(numpy.bincount(image[chosen], minlength=len(evidence)) for chosen in (states == state, slice(None)))  # type: ignore[return-value]


def _key(operating_score: float) -> str:
    return f"boxes@{operating_score:g}"


def _taker(operating_score: float) -> Callable[[Prediction, Sample], Evidence]:
    def take(prediction: Prediction, sample: Sample) -> Evidence:
        detections = need(prediction, BoxPrediction, "a detection rate")
        return reported_boxes(detections, need(sample.target, BoxTarget, "a detection rate"), operating_score)

    return take


def reported_boxes(detections: BoxPrediction, target: BoxTarget, operating_score: float) -> Evidence:
    """The evidence of one image."""
    finite(detections.boxes, "boxes")
    kept = finite(detections.scores, "scores") >= operating_score
    order = detections.scores[kept].argsort(descending=True, stable=True)
    boxes, labels = detections.boxes[kept][order].double().numpy(), detections.labels[kept][order].numpy()
    truth, crowd = target.labels.numpy(), target.crowd.numpy()
    overlap = overlaps(boxes, Objects(target.boxes.double().numpy(), target.area.double().numpy(), crowd))
    judged = ~crowd & (truth >= 0)
    own = (overlap * (labels[:, None] == truth[None, :]))[:, judged]
    touched = (overlap[:, judged] >= _IOU).any(axis=0)
    states = numpy.select([_taken_objects(own), (own >= _IOU).any(axis=0), touched], [FOUND, CLAIMED, MISLABELLED], VANISHED)
    return {
        "objects": states.tolist(),
        "fabricated": int((~(overlap >= _IOU).any(axis=1)).sum()),
        "boxes": len(boxes),
    }


def _taken_objects(overlap: numpy.ndarray) -> numpy.ndarray:
    """Which objects get a box, each box in turn taking the free object it overlaps most (the later of equals): (D, G) -> bool (G,)."""
    taken = numpy.zeros(overlap.shape[1], dtype=bool)
    for row in overlap:
        free = numpy.where(taken, 0.0, row)[::-1]
        if len(free) and free.max() >= _IOU:
            taken[len(free) - 1 - free.argmax()] = True
    return taken
