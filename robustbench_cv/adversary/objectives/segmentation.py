"""What the adversary raises on segmenters: averages over the scored pixels of each image (label not 255)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary.objective import Objective
from robustbench_cv.errors import UserError
from robustbench_cv.types import IGNORE, MaskTarget, PixelLogits, Target

Squash = Literal["sigmoid", "softmax"]


def cos_pgd_loss(squash: Squash = "sigmoid") -> Objective[PixelLogits]:
    """Pixel cross-entropy, weighted by the cosine between the pixel's squashed logits and its label's unit vector (Agnihotri et al. 2024).

    The weight is a constant to the gradient: p_y / |p|. squash: 'sigmoid' as in the SEA authors' version of it
    (github.com/nmndeep/robust-segmentation), or 'softmax' as in CosPGD's own authors' code (github.com/shashankskagnihotri/cospgd).
    """
    if squash not in ("sigmoid", "softmax"):
        raise UserError(f"squash={squash!r} must be 'sigmoid' or 'softmax'")
    return _pixel_mean(f"cos-pgd ({squash})", partial(_cosine_weighted, squash=squash))


def masked_cross_entropy() -> Objective[PixelLogits]:
    """Cross-entropy of the pixels that are still right (Croce, Singh, Hein 2024)."""
    return _pixel_mean("masked cross-entropy", _masked_cross_entropy)


def jensen_shannon() -> Objective[PixelLogits]:
    """Jensen-Shannon divergence between softmax and the label's unit vector, in nats, at most log 2 a pixel (Croce, Singh, Hein 2024).

    Its gradient fades on pixels that are wrong for sure, so it needs no mask.
    """
    return _pixel_mean("Jensen-Shannon divergence", _jensen_shannon)


def masked_spherical() -> Objective[PixelLogits]:
    """Minus the label's share of the logit vector's length, z_y / |z|, on the pixels that are still right (Croce, Singh, Hein 2024)."""
    return _pixel_mean("masked spherical", _masked_spherical)


def track_cross_entropy(objective: Objective[PixelLogits]) -> Objective[PixelLogits]:
    """The gradient of `objective` under the value of the pixel cross-entropy: for step sizes that are ruled by the plain loss.

    SEA lets APGD follow a member's own loss and judge its progress by cross-entropy, which no mask or schedule moves.
    """
    plain = pixel_cross_entropy()

    def score(raw: PixelLogits, goals: Sequence[Target], progress: float) -> Tensor:
        own = objective(raw, goals, progress)
        return own + (plain(raw, goals, progress) - own).detach()

    return Objective(f"{objective.name}, progress by cross-entropy", PixelLogits, score)


def _pixel_mean(name: str, each: Callable[[Tensor, Tensor], Tensor]) -> Objective[PixelLogits]:
    """each: logits (N, C, H, W), labels (N, H, W) in which ignored pixels have class 0 -> (N, H, W)."""

    def score(raw: PixelLogits, goals: Sequence[Target], progress: float) -> Tensor:
        labels = torch.stack([cast(MaskTarget, goal).labels for goal in goals]).to(raw.values.device)
        scored = labels != IGNORE
        values = each(raw.values, labels.masked_fill(~scored, 0)) * scored
        return values.flatten(1).sum(dim=1) / scored.flatten(1).sum(dim=1).clamp(min=1)

    return Objective(name, PixelLogits, score)


def _cosine_weighted(logits: Tensor, labels: Tensor, squash: Squash) -> Tensor:
    squashed = logits.detach().sigmoid() if squash == "sigmoid" else logits.detach().softmax(dim=1)
    weight: Tensor = _of_label(squashed, labels) / torch.linalg.vector_norm(squashed, dim=1).clamp(min=1e-12)
    return weight * F.cross_entropy(logits, labels, reduction="none")


def _masked_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return _still_right(logits, labels) * F.cross_entropy(logits, labels, reduction="none")


def _jensen_shannon(logits: Tensor, labels: Tensor) -> Tensor:
    log_p = logits.log_softmax(dim=1)
    p = log_p.exp()
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(p)
    # log of the mixture where the label is not: log(p / 2) from log p, which is finite where p rounds to 0.
    log_mixture = torch.where(truth.bool(), ((p + 1) / 2).log(), log_p - math.log(2))
    to_label = -_of_label(log_mixture, labels)
    return ((p * (log_p - log_mixture)).sum(dim=1) + to_label) / 2


def _masked_spherical(logits: Tensor, labels: Tensor) -> Tensor:
    unit = logits / torch.linalg.vector_norm(logits, dim=1, keepdim=True).clamp(min=1e-12)
    return -_still_right(logits, labels) * _of_label(unit, labels)


def _still_right(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.detach().argmax(dim=1) == labels).to(logits)


def _of_label(values: Tensor, labels: Tensor) -> Tensor:
    """Each pixel's value for its own label: (N, C, H, W), (N, H, W) -> (N, H, W)."""
    return values.gather(1, labels[:, None])[:, 0]


def pixel_cross_entropy() -> Objective[PixelLogits]:
    """Cross-entropy, averaged over each image's scored pixels (label not 255)."""
    return Objective("pixel cross-entropy", PixelLogits, _pixel_cross_entropy)


def seg_pgd_loss() -> Objective[PixelLogits]:
    """Pixel cross-entropy that turns from the pixels still right to all of them (Gu et al., ECCV 2022).

    Weight 1 - lam on right pixels and lam on wrong ones, lam = (t - 1) / (2 T) at step t of T, over all scored pixels: dividing by the
    number of right ones would change the schedule.
    """
    return Objective("seg-pgd", PixelLogits, _seg_pgd)


def _maps(goals: Sequence[Target], like: Tensor) -> Tensor:
    return torch.stack([cast(MaskTarget, goal).labels for goal in goals]).to(like.device)


def _pixel_cross_entropy(raw: PixelLogits, goals: Sequence[Target], progress: float) -> Tensor:
    labels = _maps(goals, raw.values)
    losses = F.cross_entropy(raw.values, labels, ignore_index=IGNORE, reduction="none")
    return losses.flatten(1).sum(dim=1) / _scored_pixel_count(labels)


def _seg_pgd(raw: PixelLogits, goals: Sequence[Target], progress: float) -> Tensor:
    labels = _maps(goals, raw.values)
    losses = F.cross_entropy(raw.values, labels, ignore_index=IGNORE, reduction="none")
    lam = progress / 2
    weights = torch.where(raw.values.detach().argmax(dim=1) == labels, 1 - lam, lam)
    return (weights * losses).flatten(1).sum(dim=1) / _scored_pixel_count(labels)


def _scored_pixel_count(labels: Tensor) -> Tensor:
    return (labels != IGNORE).flatten(1).sum(dim=1).clamp(min=1)
