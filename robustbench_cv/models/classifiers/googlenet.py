"""GoogLeNet, which won ILSVRC 2014. Szegedy et al., CVPR 2015, https://arxiv.org/abs/1409.4842

Nine Inception modules of four branches each, response normalisation, no hidden fully connected layer, and while training two auxiliary
heads on the way. torchvision's network of this name has batch normalisation, and 3x3 kernels where the paper has 5x5.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.building_blocks import brightness, conv, he_initialisation
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


class Branches(NamedTuple):
    """Maps of an Inception module (table 1): 1x1; 1x1 before 3x3, 3x3; 1x1 before 5x5, 5x5; 1x1 after the pool."""

    one: int
    reduce3: int
    three: int
    reduce5: int
    five: int
    pool: int

    @property
    def out(self) -> int:
        """Maps that leave the module."""
        return self.one + self.three + self.five + self.pool

    def times(self, share: float) -> Branches:
        """The same in small, at least one map each."""
        return Branches(*(max(1, round(maps * share)) for maps in self))


THIRD = (Branches(64, 96, 128, 16, 32, 32), Branches(128, 128, 192, 32, 96, 64))
FOURTH = (
    Branches(192, 96, 208, 16, 48, 64),
    Branches(160, 112, 224, 24, 64, 64),
    Branches(128, 128, 256, 24, 64, 64),
    Branches(112, 144, 288, 32, 64, 64),
    Branches(256, 160, 320, 32, 128, 128),
)
FIFTH = (Branches(256, 160, 320, 32, 128, 128), Branches(384, 192, 384, 48, 128, 128))
"""Modules 3a-3b, 4a-4e, 5a-5b."""


@model(
    task="classification",
    family="GoogLeNet",
    paper="arXiv:1409.4842",
    year=2014,
    source="own",
    parameters=6_998_552,
    reduced="width=8, num_classes=5, input_size=64",
)
def googlenet(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    stem: NonNegativeInt = 0,
    auxiliary: NonNegativeInt = 0,
) -> Classifier:
    """GoogLeNet for 224 px.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 1000). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else 224). width: maps of the first layer (default 64); the others keep their ratio to it. stem: stride of the
    first layer (default 2). auxiliary: 1 keeps the heads of training, which a prediction never asks.
    """
    default = Description(
        architecture="googlenet",
        classes=Labels.numbered(1000).names,
        input_size=(224, 224),
        arguments={"width": 64, "stem": 2, "auxiliary": 0},
    )
    given = {"width": width, "stem": stem, "auxiliary": auxiliary}
    begin = initial_weights("googlenet", weights, checkpoint, classes, num_classes, input_size, default=default, **given)
    network = begin.make(lambda: GoogLeNet(len(begin.classes), **begin.arguments))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class Scores(NamedTuple):
    """What the network says while training: class scores (N, C) of its end and of its two auxiliary heads."""

    main: Tensor
    early: Tensor
    late: Tensor


class GoogLeNet(nn.Module):
    """(N, 3, H, W) -> (N, classes); with `auxiliary`, `Scores` in training mode. He initialisation."""

    def __init__(self, classes: int, width: int = 64, stem: int = 2, auxiliary: int = 0) -> None:
        super().__init__()
        share = width / 64
        self.stem = nn.Sequential(
            *conv(3, width, 7, stride=stem, pad=3), pool(), brightness(),
            *conv(width, width, 1), *conv(width, 3 * width, 3, pad=1), brightness(), pool(),
        )  # fmt: skip
        self.third, maps = _stage(3 * width, THIRD, share)
        self.fourth, maps = _stage(maps, FOURTH, share)
        self.fifth, maps = _stage(maps, FIFTH, share)
        self.head = nn.Sequential(nn.Dropout(0.4), nn.Linear(maps, classes))
        sides = (FOURTH[0].times(share).out, FOURTH[3].times(share).out)
        self.early, self.late = (Auxiliary(m, classes, share) if auxiliary else None for m in sides)
        he_initialisation(self)

    def forward(self, x: Tensor) -> Tensor | Scores:
        """Class scores, and those of the auxiliary heads where there are any to train."""
        x = F.max_pool2d(self.third(self.stem(x)), 3, 2, ceil_mode=True)
        first = self.fourth[0](x)
        fourth = self.fourth[1:4](first)
        x = self.fifth(F.max_pool2d(self.fourth[4](fourth), 3, 2, ceil_mode=True))
        scores: Tensor = self.head(x.mean(dim=(2, 3)))
        if self.training and self.early is not None and self.late is not None:
            return Scores(scores, self.early(first), self.late(fourth))
        return scores


class Inception(nn.Module):
    """Four branches side by side, their maps one after the other: 1x1; 3x3; 5x5; 3x3 max-pool. All keep the size."""

    def __init__(self, inside: int, maps: Branches) -> None:
        super().__init__()
        self.one = nn.Sequential(*conv(inside, maps.one, 1))
        self.three = nn.Sequential(*conv(inside, maps.reduce3, 1), *conv(maps.reduce3, maps.three, 3, pad=1))
        self.five = nn.Sequential(*conv(inside, maps.reduce5, 1), *conv(maps.reduce5, maps.five, 5, pad=2))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), *conv(inside, maps.pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, maps.out, H, W)."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


class Auxiliary(nn.Module):
    """A classifier on maps half way: mean over 4x4 cells, 1x1 convolution to 128 maps, 1024 units, 0.7 dropped, classes.

    The paper's 5x5 mean with stride 3 makes 4x4 of its 14x14 maps; other sizes are brought to 4x4 too.
    """

    def __init__(self, inside: int, classes: int, share: float = 1.0) -> None:
        super().__init__()
        maps, units = max(1, round(128 * share)), max(1, round(1024 * share))
        self.reduce = nn.Sequential(*conv(inside, maps, 1))
        self.classify = nn.Sequential(nn.Linear(maps * 16, units), nn.ReLU(inplace=True), nn.Dropout(0.7), nn.Linear(units, classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, classes)."""
        x = F.avg_pool2d(x, 5, 3) if x.shape[-2:] == (14, 14) else F.adaptive_avg_pool2d(x, 4)
        scores: Tensor = self.classify(self.reduce(x).flatten(1))
        return scores


def pool() -> nn.Module:
    """3x3 with stride 2, the last window cut off at the border, so that 224 px become 112, 56, 28, 14, 7."""
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def _stage(inside: int, modules: tuple[Branches, ...], share: float) -> tuple[nn.Sequential, int]:
    """The modules of one resolution, and the maps that leave them."""
    layers = []
    for module in modules:
        layers.append(Inception(inside, module.times(share)))
        inside = module.times(share).out
    return nn.Sequential(*layers), inside
