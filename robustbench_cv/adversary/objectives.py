"""What the adversary raises on classifiers and segmenters: one number a sample, never averaged over the batch.

An objective sees the raw output, what the adversary aims at, and `progress`, the share of the attack's steps already taken, in [0, 1).
Those on detectors' candidates are in `detection`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.errors import UserError
from robustbench_cv.types import IGNORE, ClassTarget, Logits, MaskTarget, PixelLogits, R, Raw, Target


@dataclass(frozen=True)
class Objective(Generic[R]):
    """A named function (raw, goals, progress) -> (N,); higher is better for the adversary. accepts: the raw output it reads."""

    name: str
    accepts: type[R]
    score: Callable[[R, Sequence[Target], float], Tensor]

    def __call__(self, raw: R, goals: Sequence[Target], progress: float = 0.0, /) -> Tensor:
        return self.score(raw, goals, progress)


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


def pixel_cross_entropy() -> Objective[PixelLogits]:
    """Cross-entropy, averaged over each image's scored pixels (label not 255)."""
    return Objective("pixel cross-entropy", PixelLogits, _pixel_cross_entropy)


def seg_pgd_loss() -> Objective[PixelLogits]:
    """Pixel cross-entropy that turns from the pixels still right to all of them (Gu et al., ECCV 2022).

    Weight 1 - lam on right pixels and lam on wrong ones, lam = (t - 1) / (2 T) at step t of T, over all scored pixels: dividing by the
    number of right ones would change the schedule.
    """
    return Objective("seg-pgd", PixelLogits, _seg_pgd)


def indifferent() -> Objective[Any]:
    """Nothing to raise, for any task: controls that ignore the model."""
    return Objective("none", cast(Any, Raw), _indifferent)


def _indifferent(raw: Any, goals: Sequence[Target], progress: float) -> Tensor:
    return torch.zeros(len(goals))


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


def _maps(goals: Sequence[Target], like: Tensor) -> Tensor:
    return torch.stack([cast(MaskTarget, goal).labels for goal in goals]).to(like.device)


def _pixel_cross_entropy(raw: PixelLogits, goals: Sequence[Target], progress: float) -> Tensor:
    labels = _maps(goals, raw.values)
    losses = F.cross_entropy(raw.values, labels, ignore_index=IGNORE, reduction="none")
    return losses.flatten(1).sum(dim=1) / _scored(labels)


def _seg_pgd(raw: PixelLogits, goals: Sequence[Target], progress: float) -> Tensor:
    labels = _maps(goals, raw.values)
    losses = F.cross_entropy(raw.values, labels, ignore_index=IGNORE, reduction="none")
    lam = progress / 2
    weights = torch.where(raw.values.detach().argmax(dim=1) == labels, 1 - lam, lam)
    return (weights * losses).flatten(1).sum(dim=1) / _scored(labels)


def _scored(labels: Tensor) -> Tensor:
    return (labels != IGNORE).flatten(1).sum(dim=1).clamp(min=1)
