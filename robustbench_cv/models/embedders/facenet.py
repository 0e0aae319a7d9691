"""FaceNet: an embedding learned from triplets. Schroff, Kalenichenko, Philbin, CVPR 2015, https://arxiv.org/abs/1503.03832

An Inception network whose output is scaled to length 1. A triplet is an anchor, a positive of the same identity, a negative of another; the
loss wants the negative farther away than the positive, by a margin.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.models.classifiers.inception_bn import InceptionBN
from robustbench_cv.models.embedders.verification import apart, distance

MARGIN = 0.2
"""The paper's alpha."""


class FaceNet(nn.Module):
    """(N, 3, H, W) normalised images -> (N, dimension) of length 1.

    Deviation: the Inception layers are those of Ioffe and Szegedy, with mean and maximum pools where the paper's NN2 has L2 pools too.
    width: maps of the first layer; the others keep their ratio to it.
    """

    def __init__(self, dimension: int = 128, width: int = 64) -> None:
        super().__init__()
        self.network = InceptionBN(dimension, width)

    def forward(self, images: Tensor) -> Tensor:
        """Differentiable."""
        return F.normalize(self.network(images), dim=1)


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = MARGIN) -> Tensor:
    """max(0, |a - p|^2 - |a - n|^2 + margin) of each triplet, (N, D) three times -> (N,). Equation 3."""
    return (distance(anchor, positive) - distance(anchor, negative) + margin).clamp(min=0)


def semi_hard(embeddings: Tensor, labels: Tensor, margin: float = MARGIN) -> Tensor:
    """Triplets of a batch as indices (T, 3): each pair of the same label, with the nearest negative that is farther than the positive.

    Section 3.2: of those within the margin; where there is none, the pair makes no triplet. embeddings (N, D), labels (N,).
    """
    far = apart(embeddings, embeddings)
    same = labels[:, None] == labels
    anchors, positives = (same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)).nonzero().unbind(1)
    nearness = far[anchors]
    limit = far[anchors, positives][:, None]
    allowed = ~same[anchors] & (nearness > limit) & (nearness < limit + margin)
    negatives = nearness.masked_fill(~allowed, float("inf")).argmin(dim=1)
    found = allowed.any(dim=1)
    return torch.stack([anchors, positives, negatives], dim=1)[found]
