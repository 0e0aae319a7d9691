"""A siamese network: twins with the same weights look at two pictures. Koch, Zemel, Salakhutdinov, ICML deep learning workshop 2015

https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf. The contrastive loss, for twins judged by distance alone, is of Hadsell, Chopra,
LeCun, CVPR 2006.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_cv.arguments import NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.classifiers.building_blocks import conv, grey, output_size
from robustbench_cv.models.embedders.embedder import Embedder, Twins, embedder
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights


@model(
    task="embedding",
    family="Siamese network",
    paper="https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf",
    year=2015,
    source="own",
    parameters=38_951_745,
    reduced="width=2, input_size=80",
)
def siamese(
    weights: str = "", checkpoint: str = "", input_size: NonNegativeInt | str = "", width: NonNegativeInt = 0, channels: NonNegativeInt = 0
) -> Embedder:
    """One twin for 105 px: 4096 numbers an image, each 0-1; the distance of a pair is minus the score of being the same.

    weights: a tag. checkpoint: a weights file. With neither, random parameters, the same every time. input_size: the side or 'WxH' to
    which images are scaled (default: what the weights were trained at, else 105; at least 77 px). width: maps of the first layer (default
    64); the others keep their ratio to it. channels: 1, brightness alone as in the paper (default), or 3. An embedder has no classes: see
    `gallery`. UserError where the image is too small.
    """
    default = Description(architecture="siamese", classes=(), input_size=(105, 105), arguments={"width": 64, "channels": 1})
    begin = initial_weights("siamese", weights, checkpoint, input_size=input_size, default=default, width=width, channels=channels)
    size = begin.input_size or (105, 105)
    return embedder(begin.make(lambda: Siamese(size=size, **begin.arguments)), begin)


class Siamese(Twins):
    """One twin: (N, 3, *size) -> (N, 64 * width), each number 0-1.

    channels: 1 takes the brightness of the image, 3 its colours. width: maps of the first layer (the paper's 64); the others keep their
    ratio to it. With one channel and 105 px it has the paper's 38,951,745 parameters.
    """

    def __init__(self, channels: int = 3, size: tuple[int, int] = (105, 105), width: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.features = nn.Sequential(
            *conv(channels, width, 10), nn.MaxPool2d(2),
            *conv(width, 2 * width, 7), nn.MaxPool2d(2),
            *conv(2 * width, 2 * width, 4), nn.MaxPool2d(2),
            *conv(2 * width, 4 * width, 4),
        )  # fmt: skip
        height, across = output_size(self.features, size)
        self.embedding = nn.Linear(4 * width * height * across, 64 * width)
        self.output = nn.Linear(64 * width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Differentiable."""
        if self.channels == 1:
            images = grey(images)
        return torch.sigmoid(self.embedding(self.features(images).flatten(1)))

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """A weighted distance, number by number, the same whichever picture comes first; it may be negative.

        The sigmoid of minus the distance is the probability of being the same.
        """
        scores: Tensor = self.output((first - second).abs())
        return -scores[:, 0]


def contrastive_loss(first: Tensor, second: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    """Half the squared distance of pairs of the same; half the squared lack of `margin` of others. (N, D), (N, D), bool (N,) -> (N,)."""
    lengths = torch.linalg.vector_norm(first - second, dim=1)
    return torch.where(same, lengths, (margin - lengths).clamp(min=0)).square() / 2
