"""Classes of a data set to classes of a model, by name, so that no number depends on how either happens to count.

`ClassMap.match` finds the partner of each class of the data; `sample` moves a sample's targets into the model's class indices, `prediction`
takes from a prediction what the data cannot judge. The map is shown to the user before a run: `describe`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from robustbench_cv.data.class_names import DROP, match_names, parse_overrides
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.types import (
    ABSENT,
    IGNORE,
    BoxPrediction,
    ClassTarget,
    Edit,
    Labels,
    MaskPrediction,
    MaskTarget,
    Prediction,
    Sample,
    Target,
)

__all__ = ["DROPPED", "ClassMap", "parse_overrides"]

DROPPED = ABSENT
"""Index of a class of the data that is not evaluated. A box with it is crowd, whatever class a detection there has."""


@dataclass(frozen=True)
class ClassMap:
    """The model's class index for each class of the data, or DROPPED, with how each was found ("same name", "given", ...)."""

    data: Labels
    model: Labels
    index: tuple[int, ...]
    how: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def match(cls, data: Labels, model: Labels, overrides: Mapping[str, str] | None = None) -> ClassMap:
        """Partners by name: exactly the same first, then without regard to case, '_', '-' and spaces; `overrides` before either.

        overrides: data class to model class, or to "-" to leave it out of the evaluation. Where one side is numbered, not named, classes
        are matched by position, if there are equally many. UserError for a class without a partner, or with several.
        """
        match = match_names(data.names, model.names, overrides or {}, numbered=(data.are_numbered, model.are_numbered))
        return cls(data, model, match.index, match.how, match.notes)

    @property
    def is_identity(self) -> bool:
        """Whether data and model count the same classes in the same way, so that nothing has to be moved."""
        return self.index == tuple(range(len(self.model)))

    def sample(self, sample: Sample) -> Sample:
        """The sample with its target, and its edit's `before` and `removed`, in the model's classes; regions keep the data's names.

        Dropped classes: their boxes become crowd with label DROPPED, their pixels 255, and their classification samples NotApplicable.
        Map a sample after its interventions, which speak the data's names.
        """
        if self.is_identity and self.data == self.model:
            return sample
        target = self._target(sample.target, sample.id)
        return replace(sample, target=target, edit=sample.edit and self._edit(sample.edit, target, sample.id))

    def prediction(self, prediction: Prediction) -> Prediction:
        """The prediction without what the data cannot judge: boxes of other classes are dropped, pixels of other classes become -1.

        Class probabilities stay: the argmax over all of the model's classes comes first, and one that the data does not know is wrong.
        (Of 1000 classes on nine, several of which are one, models/imagenet9.py makes ten first, by the same rule: Xiao et al.)
        """
        if self._evaluated_classes.all():
            return prediction
        if isinstance(prediction, BoxPrediction):
            keep = self._is_judged(prediction.labels)
            return prediction.select(keep)
        if isinstance(prediction, MaskPrediction):
            return replace(prediction, labels=prediction.labels.where(self._is_judged(prediction.labels), -1))
        return prediction

    def describe(self) -> str:
        """The mapping as a table for people, then the notes."""
        partners = ["(not evaluated)" if i == DROPPED else self.model.names[i] for i in self.index]
        left = max(len("data"), *map(len, self.data.names))
        right = max(len("model"), *map(len, partners))
        rows = [("data", "model", "matched by"), *zip(self.data.names, partners, self.how, strict=True)]
        table = [f"{d:<{left}}  {m:<{right}}  {how}".rstrip() for d, m, how in rows]
        return "\n".join([*table, *(f"note: {note}" for note in self.notes)])

    def summary(self) -> str:
        """One line where every class has a partner of exactly its name; else the table of `describe`, below a line."""
        if all(how == "same name" for how in self.how) and not self.notes:
            return f"{len(self.index)} classes, each matched with the model's class of the same name"
        return f"how classes are matched\n{self.describe()}"

    def key(self) -> str:
        """A hash of what the map does, the same on every machine."""
        return hashlib.sha256(json.dumps([self.data.names, self.model.names, self.index]).encode()).hexdigest()

    @cached_property
    def _table(self) -> Tensor:
        return torch.tensor([*self.index, DROPPED], dtype=torch.int64)

    @cached_property
    def _evaluated_classes(self) -> Tensor:
        """bool (C,): which of the model's classes the data can judge."""
        evaluated = torch.zeros(len(self.model), dtype=torch.bool)
        evaluated[[i for i in self.index if i != DROPPED]] = True
        return evaluated

    def _is_judged(self, labels: Tensor) -> Tensor:
        known = (labels >= 0) & (labels < len(self.model))
        return known & self._evaluated_classes.to(labels.device)[labels.where(known, 0)]

    def _target(self, target: Target, id_: str) -> Target:
        if isinstance(target, ClassTarget):
            return ClassTarget(self._label(target.label, id_))
        if isinstance(target, MaskTarget):
            return MaskTarget(self._pixels(target.labels))
        labels = self._to_model_indices(target.labels)
        return replace(target, labels=labels, crowd=target.crowd | (labels == DROPPED))

    def _label(self, label: int, id_: str) -> int:
        if label == ABSENT:
            return ABSENT
        if self.index[label] == DROPPED:
            raise NotApplicable(f"sample {id_} is of class {self.data.names[label]!r}, which the class map leaves out ({DROP!r})")
        return self.index[label]

    def _pixels(self, labels: Tensor) -> Tensor:
        if IGNORE in self.index:
            name = self.model.names[IGNORE]
            raise UserError(
                f"the model's class {IGNORE} ({name!r}) cannot be evaluated: in a mask {IGNORE} means ignore; leave it out with '-'"
            )
        moved = self._to_model_indices(labels)
        return moved.where(moved != DROPPED, IGNORE)

    def _to_model_indices(self, labels: Tensor) -> Tensor:
        """Model indices of data labels; DROPPED for what names no class (255, -1)."""
        known = (labels >= 0) & (labels < len(self.data))
        return self._table.to(labels.device)[labels.where(known, len(self.data))]

    def _edit(self, edit: Edit, target: Target, id_: str) -> Edit:
        indices = {self.index[self.data.index(name)] for name in edit.removed if name in self.data.names} - {DROPPED}
        # Where two classes of the data are one of the model's, removing one of them may leave the other.
        removed = frozenset(self.model.names[i] for i in indices if not _holds(target, i))
        subject = edit.subject and self._target(edit.subject, id_)
        return replace(edit, before=self._target(edit.before, id_), removed=removed, subject=subject)


def _holds(target: Target, index: int) -> bool:
    if isinstance(target, ClassTarget):
        return target.label == index
    return bool((target.labels == index).any())
