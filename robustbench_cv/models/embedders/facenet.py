"""FaceNet: an embedding learned from triplets. Schroff, Kalenichenko, Philbin, CVPR 2015, https://arxiv.org/abs/1503.03832

The paper's NN2, an Inception network (table 2), whose output is scaled to length 1. A triplet is an anchor, a positive of the same
identity, a negative of another; the loss wants the negative farther away than the positive, by a margin.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.classifiers.building_blocks import brightness, conv, he_initialisation
from robustbench_cv.models.embedders.embedder import Embedder, Twins, embedder
from robustbench_cv.models.embedders.verification import apart, distance
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights

MARGIN = 0.2
"""The paper's alpha."""


class Branches(NamedTuple):
    """Maps of a module: 1x1 (0: no such branch); 1x1 before 3x3, 3x3; 1x1 before 5x5, 5x5; 1x1 behind the pool (0: none, and stride 2).

    square: the pool is the root of the sum of squares (L2), else the maximum.
    """

    one: int
    reduce3: int
    three: int
    reduce5: int
    five: int
    pool: int
    square: bool = True

    def times(self, share: float) -> Branches:
        """The same in small; at least one map where there were any."""
        return Branches._make((*(maps and max(1, round(maps * share)) for maps in self[:6]), self.square))

    def out(self, inside: int) -> int:
        """Maps that leave the module; a pool without 1x1 convolution hands its own through."""
        return self.one + self.three + self.five + (self.pool or inside)


MODULES = (
    Branches(64, 96, 128, 16, 32, 32, square=False),
    Branches(64, 96, 128, 32, 64, 64),
    Branches(0, 128, 256, 32, 64, 0, square=False),
    Branches(256, 96, 192, 32, 64, 128),
    Branches(224, 112, 224, 32, 64, 128),
    Branches(192, 128, 256, 32, 64, 128),
    Branches(160, 144, 288, 32, 64, 128),
    Branches(0, 160, 256, 64, 128, 0, square=False),
    Branches(384, 192, 384, 48, 128, 128),
    Branches(384, 192, 384, 48, 128, 128, square=False),
)
"""3a-3c, 4a-4e, 5a-5b of table 2."""


@model(
    task="embedding",
    family="FaceNet",
    paper="arXiv:1503.03832",
    year=2015,
    source="own",
    parameters=7_456_304,
    reduced="width=8, dimension=16, input_size=64",
)
def facenet(
    weights: str = "", checkpoint: str = "", input_size: NonNegativeInt | str = "", width: NonNegativeInt = 0, dimension: NonNegativeInt = 0
) -> Embedder:
    """NN2 for 224 px: 128 numbers an image, of length 1; pairs of squared distance below about 1 count as the same.

    weights: a tag. checkpoint: a weights file. With neither, random parameters, the same every time. input_size: the side or 'WxH' to
    which images are scaled (default: what the weights were trained at, else 224). width: maps of the first layer (default 64); the others
    keep their ratio to it. dimension: numbers of an embedding (default 128). An embedder has no classes: see `gallery`.
    """
    default = Description(architecture="facenet", classes=(), input_size=(224, 224), arguments={"width": 64, "dimension": 128})
    begin = initial_weights("facenet", weights, checkpoint, input_size=input_size, default=default, width=width, dimension=dimension)
    return embedder(begin.make(lambda: FaceNet(**begin.arguments)), begin)


class FaceNet(Twins):
    """(N, 3, H, W) normalised images -> (N, dimension) of length 1. He initialisation."""

    def __init__(self, dimension: int = 128, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *conv(3, width, 7, stride=2, pad=3), nn.MaxPool2d(3, 2, 1), brightness(),
            *conv(width, width, 1), *conv(width, 3 * width, 3, pad=1), brightness(), nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        maps, modules = 3 * width, [branches.times(width / 64) for branches in MODULES]
        layers: list[nn.Module] = []
        for branches in modules:
            layers.append(Module(maps, branches))
            maps = branches.out(maps)
        self.modules_3a_to_5b = nn.Sequential(*layers)
        self.head = nn.Linear(maps, dimension)
        he_initialisation(self)

    def forward(self, images: Tensor) -> Tensor:
        """Differentiable."""
        return F.normalize(self.head(self.modules_3a_to_5b(self.stem(images)).mean(dim=(2, 3))), dim=1)

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared Euclidean distance, 0 to 4."""
        return distance(first, second)


class Module(nn.Module):
    """Branches side by side, their maps one after the other; half the size, rounded up, where the pool has no convolution."""

    def __init__(self, inside: int, maps: Branches) -> None:
        super().__init__()
        stride = 1 if maps.pool else 2
        three = [*conv(inside, maps.reduce3, 1), *conv(maps.reduce3, maps.three, 3, stride=stride, pad=1)]
        five = [*conv(inside, maps.reduce5, 1), *conv(maps.reduce5, maps.five, 5, stride=stride, pad=2)]
        pool: list[nn.Module] = [Root() if maps.square else nn.MaxPool2d(3, stride, 1)]
        one = [conv(inside, maps.one, 1)] if maps.one else []
        project = conv(inside, maps.pool, 1) if maps.pool else []
        self.branches = nn.ModuleList(nn.Sequential(*layers) for layers in (*one, three, five, [*pool, *project]))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, maps, h, w)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Root(nn.Module):
    """L2 pooling: the root of the sum of squares in each 3x3 window; every place has one."""

    def forward(self, x: Tensor) -> Tensor:
        """The same size. The small number keeps the slope at zero finite."""
        return (9 * F.avg_pool2d(x.square(), 3, 1, 1) + 1e-12).sqrt()


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
    has_negative = allowed.any(dim=1)
    return torch.stack([anchors, positives, negatives], dim=1)[has_negative]
