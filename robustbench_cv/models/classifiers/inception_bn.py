"""Inception with batch normalisation. Ioffe, Szegedy, ICML 2015, https://arxiv.org/abs/1502.03167, figure 5

GoogLeNet whose 5x5 kernels became two of 3x3 and every convolution is normalised; no response normalisation, no auxiliary heads here.
Deviation: the first convolution is an ordinary one, where the authors used a separable one of depth multiplier 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.building_blocks import conv_norm, he_initialisation
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


class Branches(NamedTuple):
    """Maps: 1x1 (0: no such branch); 1x1 before 3x3, 3x3; 1x1 before the double 3x3, double 3x3; 1x1 after the pool (0: stride 2, no 1x1).

    mean: pool by the mean, else by the maximum.
    """

    one: int
    reduce: int
    three: int
    reduce_double: int
    double: int
    pool: int
    mean: bool = True

    def times(self, share: float) -> Branches:
        """The same in small; at least one map where there were any."""
        return Branches._make((*(m and max(1, round(m * share)) for m in self[:6]), self.mean))

    def out(self, inside: int) -> int:
        """Maps that leave the module; a pool without 1x1 convolution hands its own through."""
        return self.one + self.three + self.double + (self.pool or inside)


MODULES = (
    Branches(64, 64, 64, 64, 96, 32),
    Branches(64, 64, 96, 64, 96, 64),
    Branches(0, 128, 160, 64, 96, 0, mean=False),
    Branches(224, 64, 96, 96, 128, 128),
    Branches(192, 96, 128, 96, 128, 128),
    Branches(160, 128, 160, 128, 160, 96),
    Branches(96, 128, 192, 160, 192, 96),
    Branches(0, 128, 192, 192, 256, 0, mean=False),
    Branches(352, 192, 320, 160, 224, 128),
    Branches(352, 192, 320, 192, 224, 128, mean=False),
)
"""3a, 3b, 3c, 4a-4e, 5a, 5b. Networks of this name with 608 maps after 4c and 4d have 128 after their pools; the paper says 576 and 96."""


@model(
    task="classification",
    family="Inception",
    paper="arXiv:1502.03167",
    year=2015,
    source="own",
    parameters=11_194_984,
    reduced="width=8, num_classes=5, input_size=64",
)
def inception_bn(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Classifier:
    """Inception with batch normalisation, for 224 px.

    weights: a bundled tag. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 1000). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else 224). width: maps of the first layer (default 64); the others keep their ratio to it.
    """
    default = Description(architecture="inception-bn", classes=Labels.numbered(1000).names, input_size=(224, 224), arguments={"width": 64})
    begin = initial_weights("inception-bn", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    network = begin.make(lambda: InceptionBN(len(begin.classes), begin.arguments["width"]))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class InceptionBN(nn.Module):
    """(N, 3, H, W) -> (N, classes), of the given modules. He initialisation."""

    def __init__(self, classes: int, width: int = 64, modules: Sequence[Branches] = MODULES) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *unit(3, width, 7, stride=2, pad=3), nn.MaxPool2d(3, 2, ceil_mode=True),
            *unit(width, width, 1), *unit(width, 3 * width, 3, pad=1), nn.MaxPool2d(3, 2, ceil_mode=True),
        )  # fmt: skip
        maps = 3 * width
        blocks: list[nn.Module] = []
        for module in (m.times(width / 64) for m in modules):
            blocks.append(Inception(maps, module))
            maps = module.out(maps)
        self.modules_3a_to_5b = nn.Sequential(*blocks)
        self.head = nn.Linear(maps, classes)
        he_initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        x = self.modules_3a_to_5b(self.stem(x))
        scores: Tensor = self.head(x.mean(dim=(2, 3)))
        return scores


class Inception(nn.Module):
    """Up to four branches side by side, their maps one after the other; stride 2 where the pool has no 1x1 convolution."""

    def __init__(self, inside: int, maps: Branches) -> None:
        super().__init__()
        stride = 1 if maps.pool else 2
        three = [*unit(inside, maps.reduce, 1), *unit(maps.reduce, maps.three, 3, stride=stride, pad=1)]
        double = [
            *unit(inside, maps.reduce_double, 1),
            *unit(maps.reduce_double, maps.double, 3, pad=1),
            *unit(maps.double, maps.double, 3, stride=stride, pad=1),
        ]
        kind = nn.AvgPool2d if maps.mean else nn.MaxPool2d
        pool = [kind(3, 1, 1), *unit(inside, maps.pool, 1)] if maps.pool else [HalvingPool(3, 2, ceil_mode=True)]
        one = [unit(inside, maps.one, 1)] if maps.one else []
        self.branches = nn.ModuleList(nn.Sequential(*layers) for layers in (*one, three, double, pool))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, maps, H, W) or, with stride 2, half the size, rounded up."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class HalvingPool(nn.MaxPool2d):
    """Half the size, rounded up, as the convolutions beside it: an odd side gets one more row or column that is no maximum."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2))."""
        height, width = x.shape[-2:]
        filled = F.pad(x, (0, width % 2, 0, height % 2), value=-torch.inf)
        return F.max_pool2d(filled, self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode)


def unit(inside: int, outside: int, side: int, *, stride: int = 1, pad: int = 0) -> list[nn.Module]:
    """Convolution, batch normalisation, ReLU."""
    return [*conv_norm(inside, outside, side, stride=stride, pad=pad), nn.ReLU(inplace=True)]
