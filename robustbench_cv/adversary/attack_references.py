"""What an attack is aimed at and judged against: the annotations, or the model's own detections on the clean image.

The choice is part of the result (`AttackResult.reference`), because numbers of the two kinds do not belong in one column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Generic, Literal, TypeAlias

import torch
from torch import Tensor

from robustbench_cv.adversary.candidate_matching import overlapping
from robustbench_cv.adversary.criteria import reported_predictions
from robustbench_cv.adversary.objective import G
from robustbench_cv.adversary.victim import require_raw
from robustbench_cv.errors import UserError
from robustbench_cv.models.labels import require_classes
from robustbench_cv.types import ABSENT, IGNORE, BoxPrediction, BoxTarget, Candidates, ClassTarget, MaskTarget, Model, Prediction, R, Target


@dataclass(frozen=True, eq=False)
class Clean(Generic[R]):
    """The samples before the attack `name`. The model looks at them only when a reference asks; it must give what `accepts` says."""

    model: Model[R]
    images: Tensor
    targets: Sequence[Target]
    name: str
    accepts: Any

    @cached_property
    def raw(self) -> R:
        with torch.no_grad():
            raw: R = self.model.raw(self.images)
        require_raw(self.name, self.accepts, raw)
        return raw

    @property
    def was_looked_at(self) -> bool:
        return "raw" in self.__dict__

    @cached_property
    def detections(self) -> list[BoxTarget]:
        """The model's boxes at or above its operating score, as targets."""
        predictions: list[Prediction] = reported_predictions(self.model.decode(self.raw), self.model.info.operating_score)
        return [BoxTarget.of(p.boxes, p.labels) for p in predictions if isinstance(p, BoxPrediction)]


@dataclass(frozen=True, eq=False)
class Aim(Generic[G]):
    """goals: what the objective is given; references: what success is judged against; skipped: samples without any, with the reason."""

    provenance: str
    goals: Sequence[G]
    references: Sequence[Target]
    skipped: Mapping[int, str] = field(default_factory=dict)


Reference: TypeAlias = Callable[[Clean[Any]], Aim[G]]


def annotated_targets(clean: Clean[Any]) -> Aim:
    """The data set's own targets, in the model's class indices."""
    skipped: dict[int, str] = {}
    for i, target in enumerate(clean.targets):
        if isinstance(target, ClassTarget):
            if target.label == ABSENT:
                skipped[i] = "no class is right for this image: its object was removed"
            else:
                _require_class(target.label, clean)
        elif isinstance(target, MaskTarget):
            scored = target.labels[target.labels != IGNORE]
            if len(scored) == 0:
                skipped[i] = "no pixel of this image is scored"
            else:
                _require_class(int(scored.min()), clean)
                _require_class(int(scored.max()), clean)
    return Aim("annotations", clean.targets, clean.targets, skipped)


def own_detections(clean: Clean[Candidates]) -> Aim:
    """The boxes that the model reports on the clean image (TOG: no ground truth is used). None reported: nothing to attack."""
    skipped = {i: "the model reports no object in the clean image" for i, d in enumerate(clean.detections) if len(d.labels) == 0}
    return Aim("own detections", clean.detections, clean.detections, skipped)


def detections_and_annotations(clean: Clean[Candidates]) -> Aim:
    """Where a box is no fabrication: the model's own clean detections and the annotated objects together."""
    together = [
        BoxTarget.of(torch.cat([d.boxes, t.boxes.to(d.boxes)]), torch.cat([d.labels, t.labels.to(d.labels)]))
        if isinstance(t, BoxTarget)
        else d
        for d, t in zip(clean.detections, clean.targets, strict=True)
    ]
    return Aim("own detections and annotations", together, together)


def either(clean: Clean[Any]) -> Aim:
    """Own detections for a detector, annotations for the others: for controls that serve every task."""
    return _detections_as_they_are(clean) if clean.model.info.task == "detection" else annotated_targets(clean)


def _detections_as_they_are(clean: Clean[Candidates]) -> Aim:
    """Own detections, an empty set included."""
    return Aim("own detections", clean.detections, clean.detections)


def other_classes(kind: Literal["most-likely", "least-likely"]) -> Reference:
    """Own detections, each with another class as its goal: of those below the operating score the most or least likely (TOG: ML, LL)."""
    if kind not in ("most-likely", "least-likely"):
        raise UserError(f"towards={kind!r} must be 'most-likely' or 'least-likely'")
    return partial(_other_classes, kind=kind)


def _other_classes(clean: Clean[Candidates], kind: str) -> Aim:
    aim = own_detections(clean)
    raw: Candidates = clean.raw
    if raw.log_score.shape[2] < 2:
        raise UserError("a mislabelling attack needs a detector of at least 2 classes; this one has a single class")
    operating = clean.model.info.operating_score
    goals = [d if i in aim.skipped else _relabel(raw, i, d, operating, kind) for i, d in enumerate(clean.detections)]
    return Aim(aim.provenance, goals, aim.references, aim.skipped)


def _relabel(raw: Candidates, i: int, detections: BoxTarget, operating_score: float, kind: str) -> BoxTarget:
    """Each detection's class replaced by the goal, from the scores of the candidate that it most likely came from."""
    on_object = overlapping(raw, i, detections)
    labels = detections.labels.to(raw.log_score.device)
    source = raw.log_score[i][:, labels].masked_fill(~on_object, -torch.inf).argmax(dim=0)
    scores = raw.log_score[i, source].exp()
    taken = scores >= operating_score
    # With every class above the score none would be left: then only the object's own is.
    taken[taken.all(dim=1)] = False
    taken[torch.arange(len(labels), device=labels.device), labels] = True
    most, least = scores.masked_fill(taken, -1.0).argmax(dim=1), scores.masked_fill(taken, 2.0).argmin(dim=1)
    goal = most if kind == "most-likely" else least
    return BoxTarget.of(detections.boxes, goal.to(detections.labels))


def _require_class(label: int, clean: Clean[Any]) -> None:
    require_classes(clean.model.info.name, clean.model.info.classes.names)
    classes = len(clean.model.info.classes)
    if not 0 <= label < classes:
        raise UserError(
            f"target label {label} is no class of model {clean.model.info.name!r}, which has {classes}: map targets to its indices"
        )
