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
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pyarrow

from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.metric import Labels, Metric
from robustbench_cv.metrics.ratios import Background, Rate, Ratio, finite, need
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

if TYPE_CHECKING:
    from torch import Tensor

_AREA = "hallucinated-area"

REPORTED = pyarrow.struct(
    {
        "seen": pyarrow.list_(pyarrow.struct({"class": pyarrow.int32(), "amount": pyarrow.int64()})),
        "held": pyarrow.list_(pyarrow.int32()),
        "removed": pyarrow.list_(pyarrow.int32()),
        "enough": pyarrow.float64(),
    }
)
"""The type of what `reported_classes` says of one image."""

_PIXELS = pyarrow.struct({"reported": pyarrow.int64(), "edited": pyarrow.int64()})

BLOB = 0.1
"""Share of the edited region's area that pixels of a removed class cover to count as an object."""


class Places(NamedTuple):
    """Where a removed class is still reported."""

    inside: bool
    outside: bool


@metric()
def hallucination_rate(labels: Labels, operating_score: Fraction) -> Metric:
    """Share of removals after which a removed class is still reported, anywhere in the image."""
    background = Background(
        f"reports@{operating_score:g}", REPORTED, partial(reported_classes, labels=labels, operating_score=operating_score)
    )
    return _rate("hallucination-rate", labels, operating_score, any, background=background)


@metric()
def hallucination_inside(labels: Labels, operating_score: Fraction) -> Metric:
    """Share of removals after which a removed class is still reported where it was (detectors and segmenters)."""
    return _rate("hallucination-inside", labels, operating_score, lambda places: places.inside, local=True)


@metric()
def hallucination_outside(labels: Labels, operating_score: Fraction) -> Metric:
    """Share of removals after which a removed class is reported elsewhere in the image (detectors and segmenters)."""
    return _rate("hallucination-outside", labels, operating_score, lambda places: places.outside, local=True)


@metric(task="segmentation")
def hallucinated_area(labels: Labels) -> Metric:
    """Share of the edited regions' pixels that are still predicted as a removed class."""

    def take(prediction: Prediction, sample: Sample) -> Evidence:
        edit, removed = _removed_classes(sample, labels)
        predicted = need(prediction, MaskPrediction, "hallucinated-area").labels
        return {"reported": int((_of(predicted, removed) & edit.region).sum()), "edited": int(edit.region.sum())}

    return Ratio(
        name=_AREA,
        take=take,
        split=lambda evidence: (evidence.field("reported").to_numpy(), evidence.field("edited").to_numpy()),
        undefined="no pixel was edited",
        higher_is_better=False,
        evidence_key=_AREA,
        evidence_type=_PIXELS,
        counts_absent=True,
    )


def _rate(
    name: str,
    labels: Labels,
    operating_score: float,
    judge: Callable[[Places], bool],
    *,
    local: bool = False,
    background: Background | None = None,
) -> Metric:
    def outcome(prediction: Prediction, sample: Sample) -> bool:
        edit, removed = _removed_classes(sample, labels)
        if isinstance(prediction, ClassPrediction):
            if local:
                raise NotApplicable(f"{name}: a classifier does not say where")
            return _answers_removed(prediction, sample, removed)
        if isinstance(prediction, BoxPrediction):
            need(sample.target, BoxTarget, name)
            return judge(_boxes(prediction, edit, removed, operating_score))
        return judge(_pixels(prediction, need(sample.target, MaskTarget, name), edit, removed))

    return Rate(
        name=name,
        outcome=outcome,
        higher_is_better=False,
        evidence_key=f"{name}@{operating_score:g}",
        counts_absent=True,
        background=background,
    )


def reported_classes(prediction: Prediction, sample: Sample, labels: Labels, operating_score: float) -> Evidence:
    """What an image holds and what is reported of it, by class index: for the same question of images that a class was never in.

    seen: by class, 1 for a classifier's answer, boxes at the operating score, or pixels. held: classes of the target. removed: those that
    the edit took. enough: how much must be seen of them to count as reported.
    """
    edit = sample.edit
    removed = [] if edit is None else [labels.index(name) for name in sorted(edit.removed) if name in labels.names]
    enough = 1.0 if edit is None or not isinstance(prediction, MaskPrediction) else _enough(edit)
    return {
        "seen": _reported_classes(prediction, operating_score),
        "held": _annotated_classes(sample),
        "removed": removed,
        "enough": enough,
    }


def _reported_classes(prediction: Prediction, operating_score: float) -> list[dict[str, int]]:
    import torch

    if isinstance(prediction, ClassPrediction):
        finite(prediction.probs, "probabilities")
        return [{"class": prediction.label, "amount": 1}]
    if isinstance(prediction, BoxPrediction):
        values = prediction.labels[finite(prediction.scores, "scores") >= operating_score]
    else:
        values = prediction.labels[prediction.labels >= 0]
    classes, counts = torch.unique(values, return_counts=True)
    return [{"class": c, "amount": n} for c, n in zip(classes.tolist(), counts.tolist(), strict=True)]


def _annotated_classes(sample: Sample) -> list[int]:
    import torch

    target = sample.target
    labels = torch.tensor([target.label]) if isinstance(target, ClassTarget) else torch.unique(target.labels)
    return [int(c) for c in labels.tolist() if c >= 0 and (c != IGNORE or isinstance(target, ClassTarget))]


def _enough(edit: Edit) -> float:
    return max(1.0, BLOB * float(edit.region.sum()))


def _removed_classes(sample: Sample, labels: Labels) -> tuple[Edit, list[int]]:
    """The edit and the model's indices of the classes it removed. NotApplicable where there is nothing to hallucinate."""
    if sample.edit is None or not sample.edit.removed:
        raise NotApplicable("no class was removed from the image")
    removed = [labels.index(name) for name in sorted(sample.edit.removed) if name in labels.names]
    if not removed:
        raise NotApplicable(f"the model has no class {' or '.join(sorted(sample.edit.removed))}")
    return sample.edit, removed


def _answers_removed(prediction: ClassPrediction, sample: Sample, removed: list[int]) -> bool:
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
    from robustbench_cv.boxes import to_mask

    height, width = region.shape
    covered = region[to_mask(box, height, width)]
    x, y = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
    centre = 0 <= x < width and 0 <= y < height and bool(region[y, x])
    return centre or (len(covered) > 0 and bool(covered.float().mean() >= 0.5))


def _pixels(prediction: MaskPrediction, target: MaskTarget, edit: Edit, removed: list[int]) -> Places:
    still = _of(prediction.labels, removed)
    enough = _enough(edit)
    elsewhere = still & ~edit.region & (target.labels != IGNORE)
    return Places(bool((still & edit.region).sum() >= enough), bool(elsewhere.sum() >= enough))


def _of(labels: Tensor, classes: list[int]) -> Tensor:
    import torch

    return torch.isin(labels, torch.tensor(classes, dtype=labels.dtype))
