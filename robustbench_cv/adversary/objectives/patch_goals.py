"""What patches are for: whom they are aimed at, what they raise, and when it is done. On detectors' `Candidates`, and on classifiers.

The reference set of a hiding patch is objects that are annotated *and* found in the clean image, so that the model's own misses are not
credited to the patch; annotated boxes, because a thing in the world is where it is and not where a detector believes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary.attack_references import Aim, Clean, Reference, annotated_targets
from robustbench_cv.adversary.candidate_matching import overlapping
from robustbench_cv.adversary.criteria import Success
from robustbench_cv.adversary.objective import Objective
from robustbench_cv.adversary.objectives.detection import FLOOR, log_of_rest
from robustbench_cv.boxes import iou
from robustbench_cv.errors import UserError
from robustbench_cv.models.labels import class_index
from robustbench_cv.types import (
    ABSENT,
    IGNORE,
    BoxPrediction,
    BoxTarget,
    Candidates,
    ClassPrediction,
    ClassTarget,
    MaskPrediction,
    MaskTarget,
    Prediction,
    Target,
)

TOUCH = 0.1
"""Overlap from which a box counts as one of the hidden object (DEFINITIONS of the physical attacks: IoU >= 0.1)."""


# ---- whom it is aimed at -------------------------------------------------------------------------------------------------


def detected_objects(cls: str, becomes: str = "") -> Reference:
    """The annotated objects of class `cls` (no crowds) that the model reports in the clean image, by a box of their class and IoU >= 0.5.

    becomes: the class that they are to be taken for, as goals and references; '': their own, to be lost.
    """
    return partial(_detected_objects, cls=cls, becomes=becomes)


def images_without(cls: str) -> Reference:
    """Images not of class `cls` (else success means nothing: Brown et al.), to be seen as it; '': all, not to be seen as theirs."""
    return partial(_images_without, cls=cls)


def scenes_without(cls: str) -> Reference:
    """Images in which no object of class `cls` is annotated or reported."""
    return partial(_scenes_without, cls=cls)


def against(whose: str) -> Reference:
    """'annotations', or 'predictions': what the model says of the clean image, whose change the fooling rate counts."""
    known = {"annotations": annotated_targets, "predictions": _own_predictions}
    if whose not in known:
        raise UserError(f"there are no {whose!r} to fit against; there are 'annotations' and 'predictions'")
    return known[whose]


def _own_predictions(clean: Clean[Any]) -> Aim:
    """What the model says of the clean image (classes, or a class for each pixel): whose change the fooling rate counts."""
    decoded = clean.model.decode(clean.raw)
    targets = [ClassTarget(p.label) if isinstance(p, ClassPrediction) else MaskTarget(cast(MaskPrediction, p).labels) for p in decoded]
    return Aim("own predictions", targets, targets)


def _detected_objects(clean: Clean[Candidates], cls: str, becomes: str) -> Aim:
    names = clean.model.info.classes.names
    label, wanted_label = class_index(names, cls), class_index(names, becomes or cls)
    detected_targets: list[Target] = []
    skipped: dict[int, str] = {}
    for i, (target, seen) in enumerate(zip(clean.targets, clean.detections, strict=True)):
        if not isinstance(target, BoxTarget):
            raise UserError(f"attack {clean.name!r} sits on annotated objects: it needs data with boxes")
        wanted = (target.labels == label) & ~target.crowd
        matched = iou(target.boxes.cpu(), seen.boxes.cpu())[:, seen.labels.cpu() == label] >= 0.5
        chosen = target.select(wanted.cpu() & matched.any(dim=1))
        detected_targets.append(replace(chosen, labels=torch.full_like(chosen.labels, wanted_label)))
        if not bool(wanted.any()):
            skipped[i] = f"no {cls} in this image"
        elif len(chosen.labels) == 0:
            skipped[i] = f"the model does not find the {cls} in the clean image"
    return Aim(f"annotated {cls} objects that are found in the clean image", detected_targets, detected_targets, skipped)


def _images_without(clean: Clean[Any], cls: str) -> Aim:
    labels = [cast(ClassTarget, t).label for t in clean.targets]
    skipped = {i: "no class is right for this image: its object was removed" for i, label in enumerate(labels) if label == ABSENT}
    if not cls:
        return Aim("annotations", clean.targets, clean.targets, skipped)
    wanted = class_index(clean.model.info.classes.names, cls)
    skipped |= {i: f"this image shows a {cls}" for i, label in enumerate(labels) if label == wanted}
    goals = [ClassTarget(wanted) for _ in labels]
    return Aim(f"class {cls}", goals, goals, skipped)


def _scenes_without(clean: Clean[Candidates], cls: str) -> Aim:
    label = class_index(clean.model.info.classes.names, cls)
    has_annotated = [bool((t.labels == label).any()) for t in clean.targets if isinstance(t, BoxTarget)]
    reported = [bool((d.labels == label).any()) for d in clean.detections]
    skipped = {i: f"this image has a {cls} already" for i, (a, r) in enumerate(zip(has_annotated, reported, strict=True)) if a or r}
    return Aim(f"the patch as a {cls}", clean.detections, clean.detections, skipped)


# ---- what it raises ------------------------------------------------------------------------------------------------------


def hide_class() -> Objective[Candidates]:
    """Minus the highest confidence, of all candidates, in the goals' class: Thys et al.'s max over anchors of objectness times class."""
    return Objective("hide class", Candidates, _hide_class)


def hide_objects() -> Objective[Candidates]:
    """Mean over the goals of log(1 - p), p the highest confidence in the goal's class of the candidates that touch it.

    Eykholt et al.'s disappearance loss (WOOT 2018), the maximum over cells and boxes of P(class), for each object; in the logarithm, whose
    gradient does not fade while the detector is sure.
    """
    return Objective("hide objects", Candidates, _hide_objects)


def appear() -> Objective[Candidates]:
    """Mean over goals of log p, p the highest confidence in the goal's class of the candidates that lie on it.

    The creation loss of Eykholt et al. (WOOT 2018) raises the objectness first and the class after it; here their product, which is what
    decode() thresholds, is raised at once.
    """
    return Objective("appear", Candidates, _appear)


def only_the_patch() -> Objective[Candidates]:
    """Minus a detector's confidence loss if the patch were the only object: log p on the candidates there, log(1 - p) on all others.

    DPatch (Liu et al. 2019), targeted. The two parts are means over their candidates, so that the few on the patch count; no box term.
    """
    return Objective("only the patch", Candidates, _only_the_patch)


def lose_everything() -> Objective[Candidates]:
    """A detector's confidence loss against the goals, raised: what stands there is not seen, and things are seen where nothing is.

    DPatch, untargeted, and Lee & Kolter's robust patch. Mean over goals of log(1 - p), p the best candidate's, as a detector's loss assigns
    one to each object; plus the mean over candidates elsewhere of -log(1 - p), each capped at CAP: a few boxes do not outweigh the rest
    (project choice).
    """
    return Objective("lose everything", Candidates, _lose_everything)


CAP = 5.0


def capped_cross_entropy(raw_type: type[Any], cap: float = 9.0) -> Objective[Any]:
    """min(cross-entropy, cap), of an image or of each scored pixel: else a few samples' losses grow without end (Shafahi et al. 2020).

    cap 9 is a project choice.
    """
    return Objective(f"cross-entropy capped at {cap:g}", raw_type, partial(_capped_cross_entropy, cap=cap))


def _hide_class(raw: Candidates, goals: Sequence[Target], progress: float) -> Tensor:
    labels = torch.tensor([int(cast(BoxTarget, goal).labels[0]) for goal in goals], device=raw.log_score.device)
    log_p = raw.log_score.gather(2, labels[:, None, None].expand(-1, raw.log_score.shape[1], 1))[..., 0]
    return -log_p.masked_fill(~raw.valid, FLOOR).clamp(min=FLOOR).amax(dim=1).exp()


def _hide_objects(raw: Candidates, goals: Sequence[Target], progress: float) -> Tensor:
    return torch.stack([log_of_rest(_peaks(raw, i, cast(BoxTarget, goal), TOUCH)).mean() for i, goal in enumerate(goals)])


def _appear(raw: Candidates, goals: Sequence[Target], progress: float) -> Tensor:
    return torch.stack([_peaks(raw, i, cast(BoxTarget, goal), 0.5).mean() for i, goal in enumerate(goals)])


def _peaks(raw: Candidates, i: int, goal: BoxTarget, overlap: float) -> Tensor:
    """The highest log p in each goal's own class, of the candidates that overlap it (the nearest, where none does): (M,)."""
    on_goal = overlapping(raw, i, goal, overlap)
    log_p = raw.log_score[i][:, goal.labels.to(raw.log_score.device)].clamp(min=FLOOR)
    return log_p.masked_fill(~on_goal, FLOOR).amax(dim=0)


def _only_the_patch(raw: Candidates, goals: Sequence[Target], progress: float) -> Tensor:
    return torch.stack([torch.stack(_on(raw, i, cast(BoxTarget, goal))).sum() for i, goal in enumerate(goals)])


def _on(raw: Candidates, i: int, goal: BoxTarget) -> tuple[Tensor, Tensor]:
    """Mean log p_goal of the candidates on the goals; mean log(1 - p) of the others' best class."""
    on_goal = overlapping(raw, i, goal)
    log_p = raw.log_score[i].clamp(min=FLOOR)
    candidate, which = on_goal.nonzero(as_tuple=True)
    there = log_p[candidate, goal.labels.to(log_p.device)[which]]
    elsewhere = log_of_rest(log_p[raw.valid[i] & ~on_goal.any(dim=1)].amax(dim=1))
    return _mean(there), _mean(elsewhere)


def _lose_everything(raw: Candidates, goals: Sequence[Target], progress: float) -> Tensor:
    values = []
    for i, goal in enumerate(goals):
        objects = cast(BoxTarget, goal)
        has_objects = len(objects.labels) > 0
        on_goal = overlapping(raw, i, objects) if has_objects else raw.valid.new_zeros(raw.valid.shape[1], 1)
        there = log_of_rest(_peaks(raw, i, objects, 0.5)) if has_objects else raw.log_score.new_zeros(0)
        log_p = raw.log_score[i].clamp(min=FLOOR)
        elsewhere = -log_of_rest(log_p[raw.valid[i] & ~on_goal.any(dim=1)].amax(dim=1))
        values.append(_mean(there) + _mean(elsewhere.clamp(max=CAP)))
    return torch.stack(values)


def _mean(values: Tensor) -> Tensor:
    return values.sum() / max(len(values), 1)


def _capped_cross_entropy(raw: Any, goals: Sequence[Target], progress: float, cap: float) -> Tensor:
    if isinstance(goals[0], ClassTarget):
        labels = torch.tensor([cast(ClassTarget, g).label for g in goals], device=raw.values.device)
        return F.cross_entropy(raw.values, labels, reduction="none").clamp(max=cap)
    maps = torch.stack([cast(MaskTarget, g).labels for g in goals]).to(raw.values.device)
    losses = F.cross_entropy(raw.values, maps, ignore_index=IGNORE, reduction="none").clamp(max=cap)
    return losses.flatten(1).sum(dim=1) / (maps != IGNORE).flatten(1).sum(dim=1).clamp(min=1)


# ---- when it is done -----------------------------------------------------------------------------------------------------


def objects_hidden(overlap: float = 0.5) -> Success:
    """Every reference object is overlapped by no reported box of its own class."""
    return Success(f"no reference object reported as its class any more (IoU >= {overlap:g})", partial(_hidden_share, overlap=overlap))


def reported_there() -> Success:
    """A reported box of the reference's class overlaps it (IoU >= 0.5)."""
    return Success("an object of the wanted class reported where the patch is", _reported_there)


def taken_for() -> Success:
    """The most probable class is the reference's."""
    return Success("classified as the wanted class", _taken_for)


def _hidden_share(predictions: Sequence[Prediction], references: Sequence[Target], overlap: float) -> Tensor:
    shares = [1 - _overlapped_objects(p, t, overlap) for p, t in zip(predictions, references, strict=True)]
    return torch.stack([s.mean() if len(s) else torch.zeros(()) for s in shares])


def _reported_there(predictions: Sequence[Prediction], references: Sequence[Target]) -> Tensor:
    return torch.stack([_overlapped_objects(p, t, 0.5).mean() for p, t in zip(predictions, references, strict=True)])


def _overlapped_objects(prediction: Prediction, target: Target, overlap: float) -> Tensor:
    """Which objects a box of their class overlaps: 0 or 1, (M,)."""
    assert isinstance(prediction, BoxPrediction)
    assert isinstance(target, BoxTarget)
    same = prediction.labels.cpu()[:, None] == target.labels.cpu()[None, :]
    return ((iou(prediction.boxes.cpu(), target.boxes.cpu()) >= overlap) & same).any(dim=0).float()


def _taken_for(predictions: Sequence[Prediction], references: Sequence[Target]) -> Tensor:
    pairs = zip(predictions, references, strict=True)
    return torch.tensor([float(cast(ClassPrediction, p).label == cast(ClassTarget, t).label) for p, t in pairs])
