"""Support vector machines as the last layer of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LinearScores(nn.Module):
    """One linear support vector machine a class on features scaled by a constant, and their margins as confidences.

    scale: what makes the training features' mean norm 20, as in the published code; part of the weights.
    """

    scale: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.machines = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """(P, features) -> log of the sigmoid of the margin, (P, classes): a margin of 0 is a confidence of 0.5. Project choice; the paper
        ranks by the margin itself, which is the same order."""
        return F.logsigmoid(self.machines(features * self.scale))
