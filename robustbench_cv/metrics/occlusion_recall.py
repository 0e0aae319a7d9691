"""Recall of a detector over whole, occluded and separated objects (Occluded COCO and Separated COCO: Zhan, Xie, Zisserman, BMVC 2022).

An object is *separated* where others split what is visible of it into two or more pieces, *occluded* where they hide a part of it and leave
one piece, else *whole*. The data sets' authors list the objects (by amodal completion); here each sample's masks tell (project choices):

* where the amodal mask is known (rendered scenes; objects that an edit covered): hidden are the pixels that it has and the visible mask has
  not, at least 5 % of it; separated, if there are then more pieces than the amodal mask itself has;
* where visible masks alone are known: separated, if there are two pieces or more; occluded, if pixels of other objects are at least 5 % of
  the mask's convex hull. That takes an object for occluded, too, that stands in front of what shows within its hull.

A piece is what hangs together (8 neighbours) with at least 5 % of the visible pixels. Crowds, and objects without a visible pixel, are
left out. Found, as in the authors' evaluation: by a detection of the class with a score of at least 0.3 and a mask IoU with the visible
mask of at least 0.75, where one detection may serve several objects. For detectors of boxes: by a box at the operating score with an IoU
of at least 0.5 with the annotated box (project choice), which of an object that an edit covered is that of the whole object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy
import pyarrow

from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.evidence import row_of
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.ratios import Ratio, finite, need
from robustbench_cv.types import BoxPrediction, BoxTarget, Evidence, Prediction, Sample

if TYPE_CHECKING:
    from torch import Tensor

WHOLE, OCCLUDED, SEPARATED = range(3)
"""States of an object."""

JUDGED = pyarrow.struct({"states": pyarrow.list_(pyarrow.int8()), "found": pyarrow.list_(pyarrow.bool_())})
"""The type of the evidence of one image: a state and whether it is found, of each object."""

MASK_SCORE, MASK_IOU = 0.3, 0.75
"""The authors' (tools/test_recall_occluded_separated.py of their code)."""

BOX_IOU = 0.5

HIDDEN = 0.05
"""Share of an object that must be hidden; also, of its visible pixels, that a piece of it must have (project choice)."""

_IN_BOX = 0.5


@metric(task="detection", paper="arXiv:2210.10046")
def occluded_recall() -> Metric:
    """Share of the objects that others hide in part, but leave in one piece, which a detector finds by its masks (IoU 0.75, score 0.3)."""
    return _by_masks("occluded-recall", OCCLUDED, "partly hidden")


@metric(task="detection", paper="arXiv:2210.10046")
def separated_recall() -> Metric:
    """Share of the objects that others split into pieces which a detector finds by its masks (IoU 0.75, score 0.3)."""
    return _by_masks("separated-recall", SEPARATED, "split")


@metric(task="detection", paper="arXiv:2210.10046")
def whole_recall() -> Metric:
    """Share of the objects that nothing hides which a detector finds by its masks (IoU 0.75, score 0.3)."""
    return _by_masks("whole-recall", WHOLE, "whole")


@metric(task="detection", paper="arXiv:2210.10046")
def occluded_box_recall(operating_score: Fraction) -> Metric:
    """Share of the objects that others hide in part, but leave in one piece, which a detector finds (box IoU 0.5, operating score)."""
    return _by_boxes("occluded-box-recall", OCCLUDED, "partly hidden", operating_score)


@metric(task="detection", paper="arXiv:2210.10046")
def separated_box_recall(operating_score: Fraction) -> Metric:
    """Share of the objects that others split into pieces which a detector finds (box IoU 0.5, operating score)."""
    return _by_boxes("separated-box-recall", SEPARATED, "split", operating_score)


@metric(task="detection", paper="arXiv:2210.10046")
def whole_box_recall(operating_score: Fraction) -> Metric:
    """Share of the objects that nothing hides which a detector finds (box IoU 0.5, operating score)."""
    return _by_boxes("whole-box-recall", WHOLE, "whole", operating_score)


def _by_masks(name: str, state: int, said: str) -> Metric:
    return _recall(name, state, said, "occlusion masks", _found_by_masks)


def _by_boxes(name: str, state: int, said: str, operating_score: float) -> Metric:
    def found(prediction: BoxPrediction, target: BoxTarget, objects: list[VisibleObject]) -> list[bool]:
        return _found_by_boxes(prediction, target, objects, operating_score)

    return _recall(name, state, said, f"occlusion boxes@{operating_score:g}", found)


Finder = Callable[[BoxPrediction, BoxTarget, "list[VisibleObject]"], list[bool]]


def _recall(name: str, state: int, said: str, key: str, found: Finder) -> Metric:
    def take(prediction: Prediction, sample: Sample) -> Evidence:
        detections, target = need(prediction, BoxPrediction, name), need(sample.target, BoxTarget, name)
        objects = list(visible_objects(sample, target))
        return {"states": [state_of(one) for one in objects], "found": found(detections, target, objects)}

    return Ratio(
        name=name,
        take=take,
        split=lambda evidence: _count(evidence, state),
        undefined=f"no object is {said}",
        higher_is_better=True,
        evidence_key=key,
        evidence_type=JUDGED,
        guess=lambda evidence: 0.0,
    )


def _count(evidence: pyarrow.Array, state: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Of each image: the objects in a state that are found, and those in the state."""
    states = evidence.field("states")
    rows, n = row_of(states), len(evidence)
    asked = states.flatten().to_numpy(zero_copy_only=False) == state
    found = evidence.field("found").flatten().to_numpy(zero_copy_only=False).astype(bool)
    return numpy.bincount(rows[asked & found], minlength=n), numpy.bincount(rows[asked], minlength=n)


class VisibleObject(NamedTuple):
    """position: in the target. visible, others: bool (H, W), its own pixels and those of all other objects. amodal: all that it has, seen
    or not, where that is known."""

    position: int
    visible: Tensor
    others: Tensor
    amodal: Tensor | None


def visible_objects(sample: Sample, target: BoxTarget) -> Iterator[VisibleObject]:
    """The objects that are judged. NotApplicable where the data know no masks, or number them otherwise than the target's objects."""
    import torch

    from robustbench_cv.boxes import to_mask
    from robustbench_cv.interventions.object_selection import share

    size = sample.image.shape[-2:]
    if sample.attributes.get("masks") == "boxes" or any(f"instance:{k}" not in sample.regions for k in _judged(target)):
        raise NotApplicable("what is hidden of an object is read from masks, and the data have boxes alone (detected-masks: finds some)")
    masks = [sample.regions.get(f"instance:{k}", torch.zeros(size, dtype=torch.bool)) for k in range(len(target.boxes))]
    # Sums tell the pixels of others in one pass.
    count = sum((mask.to(torch.int16) for mask in masks), torch.zeros(size, dtype=torch.int16))
    for k in _judged(target):
        visible = masks[k]
        if not visible.any():
            continue
        if share(visible, to_mask(target.boxes[k], *size)) < _IN_BOX:
            raise NotApplicable("the edit took objects away, so that masks and boxes of the unedited image are no longer in one order")
        yield VisibleObject(k, visible, (count - visible.to(torch.int16)) > 0, sample.regions.get(f"amodal:{k}"))


def _judged(target: BoxTarget) -> list[int]:
    return [k for k in range(len(target.boxes)) if not target.crowd[k] and target.labels[k] >= 0]


def state_of(one: VisibleObject) -> int:
    """Whole, occluded or separated."""
    pieces = _pieces(one.visible)
    if one.amodal is not None:
        hidden = int((one.amodal & ~one.visible).sum()) / max(1, int((one.amodal | one.visible).sum()))
        if hidden < HIDDEN:
            return WHOLE
        return SEPARATED if pieces > _pieces(one.amodal) else OCCLUDED
    if pieces > 1:
        return SEPARATED
    hull = _hull(one.visible)
    return OCCLUDED if int((hull & one.others & ~one.visible).sum()) >= HIDDEN * int(hull.sum()) else WHOLE


def _pieces(mask: Tensor) -> int:
    """Connected pieces of at least 5 % of a mask's pixels."""
    import cv2

    _, _, facts, _ = cv2.connectedComponentsWithStats(mask.numpy().astype(numpy.uint8), connectivity=8)
    areas = facts[1:, cv2.CC_STAT_AREA]
    return int((areas >= HIDDEN * areas.sum()).sum())


def _hull(mask: Tensor) -> Tensor:
    """The pixels whose centres lie in the convex hull of those of a mask's pixels: bool (H, W)."""
    import cv2
    import torch

    from robustbench_cv.boxes import from_mask

    corners = cv2.convexHull(mask.nonzero().flip(1).numpy().astype(numpy.int32))[:, 0].astype(numpy.int64)
    x1, y1, x2, y2 = from_mask(mask).long().tolist()
    x, y = numpy.arange(x1, x2)[None, :], numpy.arange(y1, y2)[:, None]
    least, most = numpy.zeros((2, y2 - y1, x2 - x1), dtype=numpy.int64)
    for (ax, ay), (bx, by) in zip(corners, numpy.roll(corners, -1, axis=0), strict=True):
        side = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        least, most = numpy.minimum(least, side), numpy.maximum(most, side)
    hull = torch.zeros_like(mask)
    hull[y1:y2, x1:x2] = torch.from_numpy((least == 0) | (most == 0))  # on one side of all edges
    return hull


def _found_by_masks(prediction: BoxPrediction, target: BoxTarget, objects: list[VisibleObject]) -> list[bool]:
    if prediction.masks is None:
        raise NotApplicable("the model finds boxes, not masks: for it there is the recall by boxes (occluded-box-recall and the like)")
    masks = prediction.masks[finite(prediction.scores, "scores") >= MASK_SCORE]
    labels = prediction.labels[prediction.scores >= MASK_SCORE]
    return [_any_mask(masks[labels == target.labels[one.position]], one.visible) for one in objects]


def _any_mask(masks: Tensor, visible: Tensor) -> bool:
    both, either = ((masks & visible).flatten(1).sum(dim=1), (masks | visible).flatten(1).sum(dim=1))
    return bool((both >= MASK_IOU * either).any())


def _found_by_boxes(prediction: BoxPrediction, target: BoxTarget, objects: list[VisibleObject], operating_score: float) -> list[bool]:
    import torch

    from robustbench_cv.boxes import iou

    finite(prediction.boxes, "boxes")
    reported = finite(prediction.scores, "scores") >= operating_score
    asked = torch.tensor([one.position for one in objects], dtype=torch.long)
    same = prediction.labels[reported][:, None] == target.labels[asked][None, :]
    overlap = iou(prediction.boxes[reported].double(), target.boxes[asked].double())
    found: list[bool] = ((overlap >= BOX_IOU) & same).any(dim=0).tolist()
    return found
