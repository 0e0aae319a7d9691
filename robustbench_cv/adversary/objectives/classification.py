"""What the adversary raises on classifiers: cross-entropy, the margin, the difference of logits ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary.objective import Objective
from robustbench_cv.errors import UserError
from robustbench_cv.types import ClassTarget, Logits, Target


def cross_entropy() -> Objective[Logits]:
    """-log softmax(z)_y. Its float32 gradient is exactly zero once z_y leads by about 100: see AttackResult.flagged.

    >>> cross_entropy()(Logits(torch.zeros(1, 2)), [ClassTarget(0)])
    tensor([0.6931])
    """
    return Objective("cross-entropy", Logits, _cross_entropy)


def margin() -> Objective[Logits]:
    """max_{j != y} z_j - z_y: positive exactly when misclassified. Untargeted f6 of Carlini & Wagner 2017, unclipped.

    >>> margin()(Logits(torch.tensor([[2.0, 5.0]])), [ClassTarget(0)])
    tensor([3.])
    """
    return Objective("margin", Logits, _margin)


def dlr() -> Objective[Logits]:
    """Difference of logits ratio, the margin over z_(1) - z_(3), unmoved by shift and scale (Croce & Hein 2020). Three classes or more.

    >>> dlr()(Logits(torch.tensor([[4.0, 2.0, 0.0]])), [ClassTarget(0)])
    tensor([-0.5000])
    """
    return Objective("dlr", Logits, _dlr)


def classifier_objective(name: str) -> Objective[Logits]:
    """'ce', 'margin' or 'dlr', for factories that let the user choose."""
    known = {"ce": cross_entropy, "margin": margin, "dlr": dlr}
    if name not in known:
        raise UserError(f"no loss named {name!r}; there are {', '.join(map(repr, known))}")
    return known[name]()


def towards() -> Objective[Logits]:
    """log softmax(z)_t: the goals are the classes to reach, not to leave."""
    return Objective("targeted cross-entropy", Logits, _towards)


def _labels(goals: Sequence[Target], like: Tensor) -> Tensor:
    return torch.tensor([cast(ClassTarget, goal).label for goal in goals], device=like.device)


def _cross_entropy(raw: Logits, goals: Sequence[Target], progress: float) -> Tensor:
    return F.cross_entropy(raw.values, _labels(goals, raw.values), reduction="none")


def _towards(raw: Logits, goals: Sequence[Target], progress: float) -> Tensor:
    return -_cross_entropy(raw, goals, progress)


def _margin(raw: Logits, goals: Sequence[Target], progress: float) -> Tensor:
    labels = _labels(goals, raw.values)[:, None]
    others = raw.values.scatter(1, labels, -torch.inf)
    return others.amax(dim=1) - raw.values.gather(1, labels)[:, 0]


def _dlr(raw: Logits, goals: Sequence[Target], progress: float) -> Tensor:
    if raw.values.shape[1] < 3:
        raise UserError(f"the DLR loss needs at least 3 classes, this model has {raw.values.shape[1]}; use loss='ce' or 'margin'")
    top = raw.values.topk(3, dim=1).values
    return _margin(raw, goals, progress) / (top[:, 0] - top[:, 2] + 1e-12)


@dataclass(frozen=True)
class RankedWrongClasses:
    """A goal: the class to leave, and the others, likeliest first by the clean image's logits."""

    label: int
    others: tuple[int, ...]


def targeted_margin(rank: int) -> Objective[Logits, RankedWrongClasses]:
    """z_t - z_y, t the class of this rank among the wrong ones of the clean image (0: the likeliest)."""
    return Objective(f"margin to wrong class {rank + 1}", Logits, partial(_targeted_margin, rank=rank))


def targeted_dlr(rank: int) -> Objective[Logits, RankedWrongClasses]:
    """(z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2), z_(1) >= z_(2) >= ... (Croce & Hein 2020, equation 7).

    The paper's form needs 4 classes. With 3 the divisor is z_(1) - z_(3); with 2 there is none that two logits leave free, for their own
    difference would make the loss constant, and the plain margin is raised.
    """
    return Objective(f"dlr to wrong class {rank + 1}", Logits, partial(_targeted_dlr, rank=rank))


def _targeted_margin(raw: Logits, goals: Sequence[RankedWrongClasses], progress: float, rank: int) -> Tensor:
    labels = torch.tensor([goal.label for goal in goals], device=raw.values.device)
    aims = torch.tensor([goal.others[rank] for goal in goals], device=raw.values.device)
    return (raw.values.gather(1, aims[:, None]) - raw.values.gather(1, labels[:, None]))[:, 0]


def _targeted_dlr(raw: Logits, goals: Sequence[RankedWrongClasses], progress: float, rank: int) -> Tensor:
    difference, classes = _targeted_margin(raw, goals, progress, rank), raw.values.shape[1]
    if classes == 2:
        return difference
    top = raw.values.topk(min(classes, 4), dim=1).values
    return difference / (top[:, 0] - top[:, 2:].mean(dim=1) + 1e-12)
