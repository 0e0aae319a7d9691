"""Does a model still report a class after the last object of it was removed? AP cannot see this: a class without objects leaves its mean.

Per sample 0 or 1, so that one rate serves the three tasks (definitions are project choices):

* a classifier hallucinates when a removed class is still its answer, once the image's main object is gone; it says nothing of where;
* a detector, when a box of a removed class has at least the operating score: inside where half of the box, or its centre, lies in the
  edited region;
* a segmenter, when pixels of a removed class cover at least a tenth of the edited region's area: its own pixels, or those outside it that
  are scored. `hallucinated-area` is the share of the edited region itself.

Measured on the unedited image of a pair, the same numbers say how often the class was reported while it was there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_cv.arguments import Fraction
from robustbench_cv.boxes import to_mask
from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.metric import Labels, Metric
from robustbench_cv.metrics.parts import Rate, Ratio, finite, need
from robustbench_cv.types import (
    ABSENT,
    IGNORE,
    BoxPrediction,
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    Edit,
    Evidence,
    MaskPrediction,
    MaskTarget,
    Prediction,
    Sample,
)

BLOB = 0.1
"""Share of the edited region's area that pixels of a removed class cover to count as an object."""


class Places(NamedTuple):
    """Where a removed class is still reported."""

    inside: bool
    outside: bool


@metric(sees_removed_classes=True)
def hallucination_rate(labels: Labels, operating_score: Fraction) -> Metric:
    """Share of removals after which a removed class is still reported, anywhere in the image."""
    return _rate("hallucination-rate", labels, operating_score, any)


@metric(sees_removed_classes=True)
def hallucination_inside(labels: Labels, operating_score: Fraction) -> Metric:
    """Share of removals after which a removed class is still reported where it was (detectors and segmenters)."""
    return _rate("hallucination-inside", labels, operating_score, lambda places: places.inside, local=True)


@metric(sees_removed_classes=True)
def hallucination_outside(labels: Labels, operating_score: Fraction) -> Metric:
    """Share of removals after which a removed class is reported elsewhere in the image (detectors and segmenters)."""
    return _rate("hallucination-outside", labels, operating_score, lambda places: places.outside, local=True)


@metric(task="segmentation")
def hallucinated_area(labels: Labels) -> Metric:
    """Share of the edited regions' pixels that are still predicted as a removed class."""

    def take(prediction: Prediction, sample: Sample) -> Evidence:
        edit, removed = _removed(sample, labels)
        predicted = need(prediction, MaskPrediction, "hallucinated-area").labels
        return [int((_of(predicted, removed) & edit.region).sum()), int(edit.region.sum())]

    return Ratio("hallucinated-area", take, tuple, "no pixel was edited", higher_is_better=False, evidence_key="hallucinated-area")


def _rate(name: str, labels: Labels, operating_score: float, judge: Callable[[Places], bool], *, local: bool = False) -> Metric:
    def outcome(prediction: Prediction, sample: Sample) -> bool:
        edit, removed = _removed(sample, labels)
        if isinstance(prediction, ClassPrediction):
            if local:
                raise NotApplicable(f"{name}: a classifier does not say where")
            return _answered(prediction, sample, removed)
        if isinstance(prediction, BoxPrediction):
            need(sample.target, BoxTarget, name)
            return judge(_boxes(prediction, edit, removed, operating_score))
        return judge(_pixels(prediction, need(sample.target, MaskTarget, name), edit, removed))

    return Rate(name, outcome, higher_is_better=False, evidence_key=f"{name}@{operating_score:g}")


def _removed(sample: Sample, labels: Labels) -> tuple[Edit, list[int]]:
    """The edit and the model's indices of the classes it removed. NotApplicable where there is nothing to hallucinate."""
    if sample.edit is None or not sample.edit.removed:
        raise NotApplicable("no class was removed from the image")
    removed = [labels.index(name) for name in sorted(sample.edit.removed) if name in labels.names]
    if not removed:
        raise NotApplicable(f"the model has no class {' or '.join(sorted(sample.edit.removed))}")
    return sample.edit, removed


def _answered(prediction: ClassPrediction, sample: Sample, removed: list[int]) -> bool:
    if need(sample.target, ClassTarget, "hallucination-rate").label not in (ABSENT, *removed):
        raise NotApplicable("the main object is still there")
    finite(prediction.probs, "probabilities")
    return prediction.label in removed


def _boxes(prediction: BoxPrediction, edit: Edit, removed: list[int], operating_score: float) -> Places:
    finite(prediction.boxes, "boxes")
    reported = _of(prediction.labels, removed) & (finite(prediction.scores, "scores") >= operating_score)
    inside = [_lies_in(box, edit.region) for box in prediction.boxes[reported]]
    return Places(any(inside), not all(inside))


def _lies_in(box: Tensor, region: Tensor) -> bool:
    height, width = region.shape
    covered = region[to_mask(box, height, width)]
    x, y = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
    centre = 0 <= x < width and 0 <= y < height and bool(region[y, x])
    return centre or (len(covered) > 0 and bool(covered.float().mean() >= 0.5))


def _pixels(prediction: MaskPrediction, target: MaskTarget, edit: Edit, removed: list[int]) -> Places:
    still = _of(prediction.labels, removed)
    enough = max(1.0, BLOB * float(edit.region.sum()))
    elsewhere = still & ~edit.region & (target.labels != IGNORE)
    return Places(bool((still & edit.region).sum() >= enough), bool(elsewhere.sum() >= enough))


def _of(labels: Tensor, classes: list[int]) -> Tensor:
    return torch.isin(labels, torch.tensor(classes, dtype=labels.dtype))
