"""Attacks on the first stage of two-stage detectors. Li, Tian, Chang, Bian, Lyu, Robust Adversarial Perturbation, BMVC 2018, https://arxiv.org/abs/1809.05962"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary.attack_references import Aim, Clean, own_detections
from robustbench_cv.adversary.constraint import TINY
from robustbench_cv.adversary.gradient_transforms import Transform, stateless
from robustbench_cv.adversary.objective import Objective
from robustbench_cv.boxes import iou
from robustbench_cv.errors import NotApplicable
from robustbench_cv.types import BoxTarget, Candidates, Proposals

OBJECTNESS, OVERLAP = 0.01, 0.3
"""A proposal is attacked where it holds an object for likelier than this, and overlaps a detected one by at least this (authors' code)."""


@dataclass(frozen=True, eq=False)
class ConfidentProposals:
    """A goal: the detected objects, and the offsets (A, 4) that the clean image's anchors got."""

    objects: BoxTarget
    offsets: Tensor


def confident_proposals(clean: Clean[Candidates]) -> Aim[ConfidentProposals]:
    """Own detections, with the clean proposals. NotApplicable for a model that shows none."""
    aim, name = own_detections(clean), clean.model.info.name
    first = clean.raw.proposals
    if first is None:
        raise NotApplicable(
            f"attack {clean.name!r} is on region proposals and model {name!r} shows none (Candidates.proposals): one-stage detectors and "
            "DETR have no such stage; tog-vanish and dag serve every detector"
        )
    goals = [ConfidentProposals(cast(BoxTarget, target), offsets) for target, offsets in zip(aim.goals, first.offsets, strict=True)]
    return Aim(aim.provenance, goals, aim.references, aim.skipped)


def break_proposals() -> Objective[Candidates, ConfidentProposals]:
    """Minus the paper's loss over the proposals at objects: half mean(-log p_background) and half exp(-mean |offset - clean offset|)."""
    return Objective("rap", Candidates, _break_proposals)


def over_channel_lengths() -> Transform:
    """The gradient of each colour channel over its own Euclidean length: the step of `rap`."""

    def divide(grad: Tensor) -> Tensor:
        divided: Tensor = grad / torch.linalg.vector_norm(grad, dim=(2, 3), keepdim=True).clamp(min=TINY)
        return divided

    return stateless(divide)


def _break_proposals(raw: Candidates, goals: Sequence[ConfidentProposals], progress: float) -> Tensor:
    first = cast(Proposals, raw.proposals)
    return torch.stack([_break_of(first, i, goal) for i, goal in enumerate(goals)])


def _break_of(first: Proposals, i: int, goal: ConfidentProposals) -> Tensor:
    logit, offsets = first.logit[i], first.offsets[i]
    near = (iou(first.boxes[i].detach(), goal.objects.boxes.to(offsets)) >= OVERLAP).any(dim=1)
    chosen = near & (logit.detach().sigmoid() > OBJECTNESS)
    if not bool(chosen.any()):
        # Nothing is left to push: a gradient of zero.
        return logit.sum() * 0
    surprise = F.softplus(logit[chosen]).mean()
    shift = (offsets[chosen] - goal.offsets[chosen]).abs().mean()
    return -(surprise + (-shift).exp()) / 2
