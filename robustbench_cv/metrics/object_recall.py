"""How much of the objects that an edit is about is reported, there or not: what the context index is made of (see docs/context.md).

One question for the three tasks, a share in [0, 1] of each image, whose mean is the metric (project choices):

* a classifier: 1 where its answer is the labelled object's class;
* a segmenter: the share of the objects' visible pixels, as they were before the edit, that have the objects' class;
* a detector: the share of the objects with a reported box of their class at IoU 0.5 or more with where they were.

Asked of an image whose objects were removed, the same number says how much is reported of what is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy
import pyarrow

from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.metrics.context_compatibility import CONTEXT_COMPATIBILITY
from robustbench_cv.metrics.evidence import row_of
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.ratios import Ratio, finite, need
from robustbench_cv.types import (
    ABSENT,
    IGNORE,
    BoxPrediction,
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    Evidence,
    Labels,
    MaskPrediction,
    MaskTarget,
    Prediction,
    Sample,
    Target,
)

if TYPE_CHECKING:
    from torch import Tensor

NAME = "object-recall"

RECALLED = pyarrow.struct(
    {"share": pyarrow.float64(), "classes": pyarrow.list_(pyarrow.struct({"class": pyarrow.int32(), "share": pyarrow.float64()}))}
)
"""The type of the evidence of one image: of all its objects, and of those of each class."""

_IOU = 0.5


@metric()
def object_recall(operating_score: Fraction) -> Metric:
    """Mean share of the objects that an edit is about which the model reports as what they are, whether they are still there or not."""
    return Ratio(
        name=NAME,
        take=lambda prediction, sample: recalled(prediction, sample, operating_score),
        split=lambda evidence: (evidence.field("share").to_numpy(zero_copy_only=False), numpy.ones(len(evidence))),
        undefined="no image with an object",
        higher_is_better=True,
        evidence_key=_key(operating_score),
        evidence_type=RECALLED,
        counts_absent=True,
        background=CONTEXT_COMPATIBILITY,
    )


@metric()
def class_object_recall(of: str, labels: Labels, operating_score: Fraction) -> Metric:
    """The object recall of one class: the mean over the images whose edit is about an object of it. of: the class's name."""
    if of not in labels.names:
        raise UserError(f"class-object-recall(of={of!r}): the model has no such class; it has {', '.join(labels.names)}")
    index = labels.index(of)
    return Ratio(
        name=f"class-object-recall(of={of!r})",
        take=lambda prediction, sample: recalled(prediction, sample, operating_score),
        split=lambda evidence: _of_class(evidence, index),
        undefined=f"no image with a {of}",
        higher_is_better=True,
        evidence_key=_key(operating_score),
        evidence_type=RECALLED,
        counts_absent=True,
    )


def _key(operating_score: float) -> str:
    return f"{NAME}@{operating_score:g}"


def _of_class(evidence: pyarrow.Array, index: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Each image's share of one class, and whether it has any of it: (N,) both."""
    lists = evidence.field("classes")
    classes, shares = (lists.flatten().field(name).to_numpy(zero_copy_only=False) for name in ("class", "share"))
    rows, chosen = row_of(lists), classes == index
    held = numpy.bincount(rows[chosen], minlength=len(evidence)).astype(numpy.float64)
    return numpy.bincount(rows[chosen], weights=shares[chosen], minlength=len(evidence)), held


def recalled(prediction: Prediction, sample: Sample, operating_score: float) -> Evidence:
    """The evidence of one image. NotApplicable where the edit is about no object that is scored."""
    subject = _subject(sample)
    if isinstance(prediction, ClassPrediction):
        finite(prediction.probs, "probabilities")
        label = need(subject, ClassTarget, NAME).label
        if label == ABSENT:
            raise NotApplicable("the edit is not about the labelled object")
        found = [(label, 1.0, float(prediction.label == label))]
    elif isinstance(prediction, MaskPrediction):
        found = list(_pixels(prediction, need(subject, MaskTarget, NAME)))
    else:
        found = list(_boxes(need(prediction, BoxPrediction, NAME), need(subject, BoxTarget, NAME), operating_score))
    if not found:
        raise NotApplicable("the edit is about no object that is scored")
    asked = sum(n for _, n, _ in found)
    return {
        "share": sum(right for _, _, right in found) / asked,
        "classes": [{"class": label, "share": right / n} for label, n, right in found],
    }


def asked_objects(sample: Sample) -> dict[int, float]:
    """The classes of the objects that are asked about, each with how much it weighs in the share: 1, its pixels, its objects.

    NotApplicable where the objects of a sample have other places before its edit.
    """
    subject = _subject(sample)
    if isinstance(subject, ClassTarget):
        return {} if subject.label == ABSENT else {subject.label: 1.0}
    import torch

    labels = subject.labels[subject.labels != IGNORE if isinstance(subject, MaskTarget) else _scored(subject)]

    classes, counts = torch.unique(labels, return_counts=True)
    return {int(c): float(n) for c, n in zip(classes, counts, strict=True)}


def _scored(subject: BoxTarget) -> Tensor:
    """Which objects count: bool (M,)."""
    return ~subject.crowd & (subject.labels >= 0)


def _subject(sample: Sample) -> Target:
    """What is asked about: the edit's objects, else all that the unedited target names (of a label map: inside the region "objects")."""
    edit = sample.edit
    if edit is not None and edit.subject is not None:
        if edit.moved and not isinstance(edit.subject, ClassTarget):
            raise NotApplicable("the objects that the edit is about have other places in the unedited image; put what moves pixels last")
        return edit.subject
    # Where pixels moved, each image's own target says where its objects are.
    target = sample.target if edit is None or edit.moved else edit.before
    if isinstance(target, MaskTarget):
        from robustbench_cv.interventions.object_selection import objects

        return MaskTarget(target.labels.masked_fill(~objects(sample), IGNORE))
    return target


def _pixels(prediction: MaskPrediction, subject: MaskTarget) -> Iterator[tuple[int, float, float]]:
    """Of each class: its index, its pixels, and those of them that have it."""
    import torch

    asked = subject.labels != IGNORE
    truth, answer = subject.labels[asked], prediction.labels[asked]
    for label in torch.unique(truth).tolist():
        here = truth == label
        yield label, float(here.sum()), float((answer[here] == label).sum())


def _boxes(prediction: BoxPrediction, subject: BoxTarget, operating_score: float) -> Iterator[tuple[int, float, float]]:
    """Of each class: its index, its objects, and those of them that are reported."""
    import torch

    from robustbench_cv.boxes import iou

    finite(prediction.boxes, "boxes")
    reported = finite(prediction.scores, "scores") >= operating_score
    asked = _scored(subject)
    labels = subject.labels[asked]
    same = prediction.labels[reported][:, None] == labels[None, :]
    overlap = iou(prediction.boxes[reported].double(), subject.boxes[asked].double())
    found = ((overlap >= _IOU) & same).any(dim=0)
    for label in torch.unique(labels).tolist():
        here = labels == label
        yield label, float(here.sum()), float(found[here].sum())
