"""How sure a detector is of each annotated object: what "removing k changes c" asks of scores, which recall at one score does not show.

The score of an object is that of the most confident box of its class with at least IoU 0.5 to it, whatever the operating score; 0 where no
box that the model gives does. Boxes are not shared out: one may be the best of two objects (project choices).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pyarrow

from robustbench_cv.catalogue import metric
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.evidence import row_of
from robustbench_cv.metrics.metric import Labels, Metric
from robustbench_cv.metrics.ratios import Ratio, finite, need
from robustbench_cv.types import BoxPrediction, BoxTarget, Evidence, Prediction, Sample

SCORED = pyarrow.list_(pyarrow.struct({"class": pyarrow.int32(), "score": pyarrow.float32()}))
"""The type of the evidence of one image: each annotated object that is no crowd."""

_IOU = 0.5


@metric(task="detection")
def detection_score() -> Metric:
    """Mean over the annotated objects of the score of the best box of their class at IoU 0.5, 0 where there is none."""
    return _mean("detection-score", lambda classes: numpy.ones(len(classes), dtype=bool), "no annotated object")


@metric(task="detection")
def class_score(of: str, labels: Labels) -> Metric:
    """The detection score of one class's objects. of: the class's name. UserError where the model has no such class."""
    if of not in labels.names:
        raise UserError(f"class-score(of={of!r}): the model has no such class; it has {', '.join(labels.names)}")
    index = labels.index(of)
    return _mean(f"class-score(of={of!r})", lambda classes: classes == index, f"no annotated {of}")


def _mean(name: str, chosen: Callable[[numpy.ndarray], numpy.ndarray], undefined: str) -> Metric:
    def split(evidence: pyarrow.Array) -> tuple[numpy.ndarray, numpy.ndarray]:
        items, image = evidence.flatten(), row_of(evidence)
        kept = chosen(items.field("class").to_numpy(zero_copy_only=False))
        scores = items.field("score").to_numpy(zero_copy_only=False).astype(numpy.float64)
        above = numpy.bincount(image[kept], weights=scores[kept], minlength=len(evidence))
        return above, numpy.bincount(image[kept], minlength=len(evidence))

    return Ratio(
        name=name,
        take=best_scores,
        split=split,
        undefined=undefined,
        higher_is_better=True,
        evidence_key="object-scores",
        evidence_type=SCORED,
        guess=lambda evidence: 0.0,
    )


def best_scores(prediction: Prediction, sample: Sample) -> Evidence:
    """The evidence of one image."""
    import torch

    from robustbench_cv.boxes import iou

    found = need(prediction, BoxPrediction, "a detection score")
    target = need(sample.target, BoxTarget, "a detection score")
    finite(found.boxes, "boxes")
    scores = finite(found.scores, "scores")
    asked = ~target.crowd & (target.labels >= 0)
    labels = target.labels[asked]
    fits = (iou(found.boxes.double(), target.boxes[asked].double()) >= _IOU) & (found.labels[:, None] == labels[None, :])
    best = torch.where(fits, scores[:, None], 0.0).amax(dim=0) if len(scores) else torch.zeros(len(labels))
    return [{"class": label, "score": score} for label, score in zip(labels.tolist(), best.float().tolist(), strict=True)]
