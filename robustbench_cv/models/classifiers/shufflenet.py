"""ShuffleNet v1 and v2. Zhang, Zhou, Lin, Sun, CVPR 2018; Ma, Zhang, Zheng, Sun, ECCV 2018"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.building_blocks import conv_norm, he_initialisation
from robustbench_cv.models.classifiers.library import from_torchvision
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="ShuffleNet",
    paper="arXiv:1807.11164",
    year=2018,
    source="torchvision",
    parameters=2_278_604,
    reduced="input_size=64",
)
def shufflenet_v2(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """ShuffleNetV2 1.0x: channels split instead of grouped.

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        "shufflenet-v2",
        "shufflenet_v2_x1_0",
        weights=weights,
        checkpoint=checkpoint,
        classes=classes,
        num_classes=num_classes,
        input_size=input_size,
    )


MAPS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""Maps of the first stage by groups (table 1, 1x): chosen so that all cost about 140 million multiplications."""


@model(
    task="classification",
    family="ShuffleNet",
    paper="arXiv:1707.01083",
    year=2017,
    source="own",
    parameters=1_865_728,
    reduced="groups=2, width=16, num_classes=5, input_size=64",
)
def shufflenet_v1(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    groups: NonNegativeInt = 0,
    width: NonNegativeInt = 0,
    stem: NonNegativeInt = 0,
) -> Classifier:
    """ShuffleNet 1x for 224 px: 1x1 convolutions in groups, the channels shuffled between them.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 1000). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else 224). groups: 1, 2, 3, 4 or 8 (default 3). width: maps of the first stage, a multiple of 4 * groups
    (default: the paper's for the groups, 240 for 3); they double twice. stem: stride of the first convolution (default 2).
    """
    name = "shufflenet-v1"
    default = Description(architecture=name, classes=Labels.numbered(1000).names, input_size=(224, 224), arguments={"groups": 3, "stem": 2})
    given = {"groups": groups, "width": width, "stem": stem}
    begin = initial_weights(name, weights, checkpoint, classes, num_classes, input_size, default=default, **given)
    network = begin.make(lambda: ShuffleNet(len(begin.classes), **begin.arguments))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class ShuffleNet(nn.Module):
    """(N, 3, H, W) -> (N, classes). width 0: the paper's for the groups. He initialisation. UserError where groups do not divide maps."""

    def __init__(self, classes: int, groups: int = 3, width: int = 0, stem: int = 2) -> None:
        super().__init__()
        width = width or MAPS.get(groups, 0)
        if width == 0 or width % (4 * groups):
            raise UserError(f"shufflenet-v1 has groups {sorted(MAPS)}, and width in multiples of 4 * groups; not {groups} and {width}")
        first = min(24, width // 4)
        self.stem = nn.Sequential(*conv_norm(3, first, 3, stride=stem, pad=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        units: list[nn.Module] = []
        inside = first
        for maps, repeats in ((width, 4), (2 * width, 8), (4 * width, 4)):
            # The very first 1x1 convolution reads too few maps to be grouped.
            units.append(Unit(inside, maps, groups, 1 if inside == first else groups, stride=2))
            units += [Unit(maps, maps, groups, groups) for _ in range(repeats - 1)]
            inside = maps
        self.units = nn.Sequential(*units)
        self.head = nn.Linear(inside, classes)
        he_initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        x = self.units(self.stem(x))
        scores: Tensor = self.head(x.mean(dim=(2, 3)))
        return scores


class Unit(nn.Module):
    """Figure 2 (b, c): 1x1 in groups, shuffle, 3x3 on each map alone, 1x1 in groups, and a shortcut.

    With stride 2 the shortcut is a mean over 3x3, and its maps are joined to the others instead of added.
    """

    def __init__(self, inside: int, outside: int, groups: int, first: int, *, stride: int = 1) -> None:
        super().__init__()
        self.groups, self.stride = groups, stride
        middle, made = outside // 4, outside - inside if stride == 2 else outside
        self.reduce = nn.Sequential(*conv_norm(inside, middle, 1, groups=first), nn.ReLU(inplace=True))
        self.depthwise = nn.Sequential(*conv_norm(middle, middle, 3, stride=stride, pad=1, groups=middle))
        self.expand = nn.Sequential(*conv_norm(middle, made, 1, groups=groups))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, outside, H, W) or, with stride 2, half the size, rounded up."""
        y = self.expand(self.depthwise(shuffle(self.reduce(x), self.groups)))
        if self.stride == 1:
            return F.relu(x + y)
        return F.relu(torch.cat([F.avg_pool2d(x, 3, 2, 1), y], dim=1))


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Map i of group g, g * n + i, becomes map i * groups + g: the next grouped convolution reads something of every group."""
    n, maps, height, width = x.shape
    return x.reshape(n, groups, maps // groups, height, width).transpose(1, 2).reshape(n, maps, height, width)
