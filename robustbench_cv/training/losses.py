"""What training lowers, one function a task."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.models.detectors.yolo.loss import yolo_loss
from robustbench_cv.models.detectors.yolo.network import Yolo
from robustbench_cv.training.training_set import NOTHING
from robustbench_cv.types import ABSENT, IGNORE

NEGATIVE = 128
"""Added to the label of a pixel that must not have that class: below it stands the class that a pixel has, at 255 none is scored."""


def classification(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy with 0.05 label smoothing; images without an object do not count."""
    return F.cross_entropy(network(images).float(), truths, ignore_index=ABSENT, label_smoothing=0.05)


def segmentation(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Mean cross-entropy of the scored pixels, plus `overlap_loss`: without it small objects hardly count beside sky and road.

    Of a pixel that must not have a class (see NEGATIVE), -log(1 - p) of that class (Shetty et al., arXiv:1812.06707).
    """
    log_probs = network(images).float().log_softmax(dim=1)
    # labels of 128 and more classes keep their numbers: data with them have no negative pixels
    negative = (truths >= NEGATIVE) & (truths != IGNORE) & (log_probs.shape[1] <= NEGATIVE)
    labels = truths.long().masked_fill(negative, IGNORE)
    scored = labels != IGNORE
    right = log_probs.gather(1, labels.where(scored, 0)[:, None])[:, 0]
    entropy: Tensor = -(right * scored).sum() / scored.sum().clamp(min=1)
    return entropy + overlap_loss(log_probs.exp(), labels) + _not_that_class(log_probs, truths.long() - NEGATIVE, negative)


def _not_that_class(log_probs: Tensor, classes: Tensor, chosen: Tensor) -> Tensor:
    """Mean of -log(1 - p) of a class over the chosen pixels (N, H, W); 0 where there is none."""
    wrong = log_probs.gather(1, classes.where(chosen, 0)[:, None])[:, 0].exp().clamp(max=1 - 1e-6)
    return -(torch.log1p(-wrong) * chosen).sum() / chosen.sum().clamp(min=1)


def overlap_loss(probs: Tensor, labels: Tensor) -> Tensor:
    """1 - soft Dice overlap, mean of the classes that the batch shows, pixels pooled over the batch; 0 where nothing is scored.

    probs (N, C, H, W), labels int64 (N, H, W), 255 = ignore. Milletari, Navab, Ahmadi, 3DV 2016, with plain sums below the fraction.
    """
    scored = labels != IGNORE
    index = labels.where(scored, 0)
    right = probs.gather(1, index[:, None])[:, 0] * scored
    shared = probs.new_zeros(probs.shape[1]).index_add(0, index.flatten(), right.flatten())
    shown = probs.new_zeros(probs.shape[1]).index_add(0, index.flatten(), scored.flatten().to(probs.dtype))
    overlap = 2 * shared / ((probs * scored[:, None]).sum((0, 2, 3)) + shown).clamp(min=1e-6)
    present = shown > 0
    return ((1 - overlap) * present).sum() / present.sum().clamp(min=1)


def detection(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """YOLOv3's loss."""
    assert isinstance(network, Yolo)
    rows = [r[r[:, 4] != NOTHING] for r in truths]
    maps = [m.float() for m in network(images)]
    return yolo_loss(maps, network.anchors, [r[:, :4] for r in rows], [r[:, 4].long() for r in rows])
