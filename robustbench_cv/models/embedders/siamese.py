"""A siamese network: twins with the same weights look at two pictures. Koch, Zemel, Salakhutdinov, ICML deep learning workshop 2015

https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf. The contrastive loss, for twins judged by distance alone, is of Hadsell, Chopra,
LeCun, CVPR 2006.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_cv.models.classifiers.parts import after, conv


class Siamese(nn.Module):
    """Pairs (N, channels, *size) -> (N,), before the sigmoid that makes it the probability of being the same.

    width: maps of the first layer (the paper's 64); the others keep their ratio to it. With one channel and 105 px it has the paper's
    38,951,745 parameters.
    """

    def __init__(self, channels: int = 3, size: tuple[int, int] = (105, 105), width: int = 64) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *conv(channels, width, 10), nn.MaxPool2d(2),
            *conv(width, 2 * width, 7), nn.MaxPool2d(2),
            *conv(2 * width, 2 * width, 4), nn.MaxPool2d(2),
            *conv(2 * width, 4 * width, 4),
        )  # fmt: skip
        height, across = after(self.features, size)
        self.embedding = nn.Linear(4 * width * height * across, 64 * width)
        self.output = nn.Linear(64 * width, 1)

    def embed(self, images: Tensor) -> Tensor:
        """One twin: (N, channels, *size) -> (N, 64 * width), each number 0-1."""
        return torch.sigmoid(self.embedding(self.features(images).flatten(1)))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Weighted distance of the twins' embeddings, number by number. The same whichever picture comes first."""
        scores: Tensor = self.output((self.embed(first) - self.embed(second)).abs())
        return scores[:, 0]


def contrastive_loss(first: Tensor, second: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    """Half the squared distance of pairs of the same; half the squared lack of `margin` of others. (N, D), (N, D), bool (N,) -> (N,)."""
    lengths = torch.linalg.vector_norm(first - second, dim=1)
    return torch.where(same, lengths, (margin - lengths).clamp(min=0)).square() / 2
