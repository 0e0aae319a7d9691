"""What the adversary raises on detectors, written once on `Candidates`: what the detector believes before threshold and suppression.

After TOG (Chow et al., TPS-ISA 2020), whose losses are sums of binary cross-entropies over every anchor. There they are on the objectness
of one detector family; here on the confidence that decode() thresholds, which every family has. log p is that confidence's logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor

from robustbench_cv.adversary.candidate_matching import overlapping
from robustbench_cv.adversary.objective import Objective
from robustbench_cv.types import BoxTarget, Candidates, Target

UNSEEN = math.log(0.001)
"""Log odds below which no detector reports anything, whatever its threshold (project choice)."""
FLOOR = -100.0
"""Confidences below exp(-100) count as this: their gradient is lost in any case, and -inf would spoil the sum."""


def vanish() -> Objective[Candidates]:
    """Sum over candidates of log(1 - p), p the confidence of the candidate's best class: TOG-vanishing's BCE(objectness, 0)."""
    return Objective("vanish", Candidates, _vanish)


def vanish_objects(odds: float = 1.0) -> Objective[Candidates]:
    """`vanish`, less `odds` times the sum, over the candidates that overlap a goal, of the log odds of their best class above UNSEEN.

    The gradient of log(1 - p) fades with p, which leaves an object below the score at which detections are reported and above what average
    precision still counts; that of log odds does not. A project choice, as is odds; 0 is `vanish`.
    """
    return Objective("vanish objects", Candidates, partial(_vanish_objects, odds=odds)) if odds else vanish()


def fabricate() -> Objective[Candidates]:
    """Sum over candidates of log p, p the confidence of the candidate's best class: TOG-fabrication's BCE(objectness, 1)."""
    return Objective("fabricate", Candidates, _fabricate)


def fabricate_boxes(sure: float = 10.0) -> Objective[Candidates]:
    """`fabricate`, plus `sure` times the sum of the confidences: about the number of boxes that are reported.

    Of thousands of candidates most can never be reported, and log p is worth as much on them as on those within reach. A project choice, as
    is sure; 0 is `fabricate`.
    """
    return Objective("fabricate boxes", Candidates, partial(_fabricate_boxes, sure=sure)) if sure else fabricate()


def mislabel() -> Objective[Candidates]:
    """Sum, over the candidates that overlap a goal, of log p_t + sum over the other classes of log(1 - p_c); t is the goal's label.

    The first term holds the object's confidence up while its class moves, as the full training loss does in TOG-mislabeling; its box term
    is left out (the candidates' boxes are no part of what the attack is judged on beyond the overlap).
    """
    return Objective("mislabel", Candidates, _mislabel)


def untargeted_loss() -> Objective[Candidates]:
    """A detector's training loss on the goals, raised: TOG-untargeted, with the goals the model's own detections.

    Over the candidates on a goal: -log p of its label, - sum of log(1 - p) of the other classes, and the squared error of the box's corners
    in units of the goal's sides; over the others: -log(1 - p) of their best class. The weights of the families' own losses are left out.
    """
    return Objective("untargeted", Candidates, _untargeted_losses)


def _best(raw: Candidates) -> Tensor:
    """log p of each candidate's best class: (N, K)."""
    return raw.log_score.amax(dim=2).clamp(min=FLOOR)


def log_of_rest(log_p: Tensor) -> Tensor:
    """log(1 - p) from log p, value and gradient exact at both ends (Maechler 2012, log1mexp).

    >>> log_of_rest(torch.tensor([0.25, 0.75]).log())
    tensor([-0.2877, -1.3863])
    """
    likely = log_p > -0.6931
    # Each branch sees harmless values where the other is taken: a discarded infinity still has a NaN gradient. At p = 1, -inf is cut off.
    near_one = torch.log(-torch.expm1(log_p.masked_fill(~likely, -1.0).clamp(max=-1e-37)))
    near_zero = torch.log1p(-log_p.masked_fill(likely, -1.0).exp())
    return torch.where(likely, near_one, near_zero)


def _vanish(raw: Candidates, goals: Sequence[Target], progress: float) -> Tensor:
    # Padding is replaced before the logarithm: a masked infinity still has a NaN gradient.
    log_p = _best(raw).masked_fill(~raw.valid, FLOOR)
    return log_of_rest(log_p).sum(dim=1)


def _vanish_objects(raw: Candidates, goals: Sequence[Target], progress: float, odds: float) -> Tensor:
    log_p = _best(raw)
    above = (log_p - log_of_rest(log_p) - UNSEEN).clamp(min=0)
    held = torch.stack([above[i, overlapping(raw, i, cast(BoxTarget, goal)).any(dim=1)].sum() for i, goal in enumerate(goals)])
    return _vanish(raw, goals, progress) - odds * held


def _fabricate(raw: Candidates, goals: Sequence[Target], progress: float) -> Tensor:
    return _best(raw).masked_fill(~raw.valid, 0.0).sum(dim=1)


def _fabricate_boxes(raw: Candidates, goals: Sequence[Target], progress: float, sure: float) -> Tensor:
    return _fabricate(raw, goals, progress) + sure * _best(raw).exp().masked_fill(~raw.valid, 0.0).sum(dim=1)


def _mislabel(raw: Candidates, goals: Sequence[Target], progress: float) -> Tensor:
    return torch.stack([_mislabel_one(raw, i, cast(BoxTarget, goal)) for i, goal in enumerate(goals)])


def _mislabel_one(raw: Candidates, i: int, goal: BoxTarget) -> Tensor:
    wanted = goal.labels.to(raw.log_score.device)
    candidate, which = overlapping(raw, i, goal).nonzero(as_tuple=True)
    log_p = raw.log_score[i, candidate].clamp(min=FLOOR)
    target = torch.nn.functional.one_hot(wanted[which], log_p.shape[1]).bool()
    return torch.where(target, log_p, log_of_rest(log_p)).sum()


def _untargeted_losses(raw: Candidates, goals: Sequence[Target], progress: float) -> Tensor:
    return torch.stack([_untargeted_one(raw, i, cast(BoxTarget, goal)) for i, goal in enumerate(goals)])


def _untargeted_one(raw: Candidates, i: int, goal: BoxTarget) -> Tensor:
    on_goal = overlapping(raw, i, goal)
    candidate, which = on_goal.nonzero(as_tuple=True)
    labels, where = goal.labels.to(candidate)[which], goal.boxes.to(raw.boxes)[which]
    column = labels if raw.boxes.shape[2] > 1 else torch.zeros_like(labels)
    sides = (where[:, 2:] - where[:, :2]).clamp(min=1.0).repeat(1, 2)
    moved = ((raw.boxes[i, candidate, column] - where) / sides).square().sum()
    elsewhere = _best(raw)[i, raw.valid[i] & ~on_goal.any(dim=1)]
    return moved - _mislabel_one(raw, i, goal) - log_of_rest(elsewhere).sum()
