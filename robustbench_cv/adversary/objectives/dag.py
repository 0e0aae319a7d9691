"""Dense adversary generation: every pixel, every box of an object under another name. Xie et al., ICCV 2017, https://arxiv.org/abs/1703.08603

Each class of an image is given another one, and z_adversarial - z_true is raised, summed over the targets that still hold: those that have
left their class add nothing. The paper draws the other classes at random; here each class takes the next one in the model's order (project
choice), so that nothing depends on the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from robustbench_cv.adversary.attack_references import Aim, Clean, annotated_targets, own_detections
from robustbench_cv.adversary.constraint import TINY
from robustbench_cv.adversary.gradient_transforms import Transform, stateless
from robustbench_cv.adversary.objective import Objective
from robustbench_cv.adversary.objectives.detection import FLOOR
from robustbench_cv.boxes import iou
from robustbench_cv.errors import UserError
from robustbench_cv.types import IGNORE, BoxTarget, Candidates, MaskTarget, PixelLogits

TOUCH, VISIBLE = 0.1, 0.1
"""A proposal is a target where it overlaps an object by more than this, and scores its class above this (the authors' code)."""


@dataclass(frozen=True, eq=False)
class AdversarialPixelLabels:
    """A goal: labels and the classes to take their place, int64 (H, W) both, 255 = ignore."""

    labels: Tensor
    wanted: Tensor


@dataclass(frozen=True, eq=False)
class AdversarialBoxLabels:
    """A goal: objects and the classes that their boxes shall be taken for, int64 (M,)."""

    objects: BoxTarget
    wanted: Tensor


def adversarial_pixel_labels(clean: Clean[PixelLogits]) -> Aim[AdversarialPixelLabels]:
    """The annotated classes of each image take each other's places, in a circle; a single one takes the model's next."""
    aim, classes = annotated_targets(clean), len(clean.model.info.classes)
    _require_two(classes)
    goals = [_random_other_labels(cast(MaskTarget, target), classes) for target in aim.goals]
    return Aim(aim.provenance, goals, aim.references, aim.skipped)


def adversarial_box_labels(clean: Clean[Candidates]) -> Aim[AdversarialBoxLabels]:
    """Own detections, each with the model's next class as its goal."""
    aim, classes = own_detections(clean), len(clean.model.info.classes)
    _require_two(classes)
    objects = [cast(BoxTarget, target) for target in aim.goals]
    goals = [AdversarialBoxLabels(detections, (detections.labels + 1) % classes) for detections in objects]
    return Aim(aim.provenance, goals, aim.references, aim.skipped)


def pixels_to_other_classes() -> Objective[PixelLogits, AdversarialPixelLabels]:
    """Sum, over the pixels that still have their label, of z_adversarial - z_label."""
    return Objective("dag on pixels", PixelLogits, _on_pixels)


def boxes_to_other_classes() -> Objective[Candidates, AdversarialBoxLabels]:
    """Sum, over the candidates that still see an object, of log p_adversarial - log p_label: of softmax heads, the logits' difference.

    Those are the candidates that overlap an object by more than 0.1 (several: the one they overlap most) and score its class above 0.1.
    They are found anew at each step. The paper holds one list of proposals, which a detector does not keep: its own change with the image.
    """
    return Objective("dag on boxes", Candidates, _on_boxes)


def linf_normalised() -> Transform:
    """The gradient over its largest entry: the step of `dag`, of which that entry alone goes all the way."""

    def divide(grad: Tensor) -> Tensor:
        return grad / grad.abs().flatten(1).amax(dim=1).clamp(min=TINY).reshape(-1, *[1] * (grad.dim() - 1))

    return stateless(divide)


def _require_two(classes: int) -> None:
    if classes < 2:
        raise UserError("dag gives every object another class: it needs a model of at least 2 classes; this one has a single class")


def _random_other_labels(target: MaskTarget, classes: int) -> AdversarialPixelLabels:
    present = torch.unique(target.labels[target.labels != IGNORE])
    after = present.roll(-1) if len(present) > 1 else (present + 1) % classes
    table = torch.full((IGNORE + 1,), IGNORE, dtype=torch.int64, device=target.labels.device)
    table[present] = after
    return AdversarialPixelLabels(target.labels, table[target.labels])


def _on_pixels(raw: PixelLogits, goals: Sequence[AdversarialPixelLabels], progress: float) -> Tensor:
    labels = torch.stack([goal.labels for goal in goals]).to(raw.values.device)
    wanted = torch.stack([goal.wanted for goal in goals]).to(raw.values.device)
    holds = raw.values.detach().argmax(dim=1) == labels
    gain = _of(raw.values, wanted) - _of(raw.values, labels)
    return (gain * holds).flatten(1).sum(dim=1)


def _of(values: Tensor, labels: Tensor) -> Tensor:
    """Each pixel's logit of one class, that of class 0 where it is ignored: (N, C, H, W), (N, H, W) -> (N, H, W)."""
    return values.gather(1, labels.masked_fill(labels == IGNORE, 0)[:, None])[:, 0]


def _on_boxes(raw: Candidates, goals: Sequence[AdversarialBoxLabels], progress: float) -> Tensor:
    return torch.stack([_on_boxes_of(raw, i, goal) for i, goal in enumerate(goals)])


def _on_boxes_of(raw: Candidates, i: int, goal: AdversarialBoxLabels) -> Tensor:
    log_p = raw.log_score[i].clamp(min=FLOOR)
    labels, wanted = goal.objects.labels.to(log_p.device), goal.wanted.to(log_p.device)
    places, (k, b) = raw.boxes[i].detach(), raw.boxes.shape[1:3]
    where = goal.objects.boxes.to(places)
    # A box for each class: the one of the object's own.
    column = labels if b > 1 else torch.zeros_like(labels)
    shared = torch.stack([iou(places[:, c], box[None])[:, 0] for c, box in zip(column.tolist(), where, strict=True)], dim=1)
    overlap, which = shared.max(dim=1)
    row = torch.arange(k, device=log_p.device)
    own = log_p[row, labels[which]]
    holds = raw.valid[i] & (overlap > TOUCH) & (own.detach().exp() > VISIBLE)
    return ((log_p[row, wanted[which]] - own) * holds).sum()
