"""DeepLabv3+ with the modified Xception-65. Chen, Zhu, Papandreou, Schroff, Adam, ECCV 2018, https://arxiv.org/abs/1802.02611

Atrous separable convolutions at three rates over features at a sixteenth of the image's side, joined with features at a quarter. The
encoder is the paper's figure 4: Xception with a longer middle, strides instead of pools, and batch normalisation and ReLU after every
depthwise convolution; at stride 16 its last three convolutions are dilated by 2. ResNet encoders: smp:DeepLabV3Plus(encoder='resnet101').
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

RATES = (6, 12, 18)
"""Dilations of the pyramid at stride 16."""


@model(
    task="segmentation",
    family="DeepLab",
    paper="arXiv:1802.02611",
    year=2018,
    source="own",
    parameters=41_055_413,
    reduced="width=4, middle=1, num_classes=3",
)
def deeplabv3plus(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    middle: NonNegativeInt = 0,
) -> Segmenter:
    """DeepLabv3+ for images of any size; sides of 16k+1 px are the ones it aligns (513 in the paper).

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 21, as PASCAL VOC has). input_size: the side or 'WxH' to which images are scaled
    (default: what the weights were trained at, else as they are). width: maps of the first convolution, to which all others stay in
    proportion (default 32). middle: blocks of Xception's middle (default 16).
    """
    default = Description(architecture="deeplabv3plus", classes=Labels.numbered(21).names, arguments={"width": 32, "middle": 16})
    begin = initial_weights(
        "deeplabv3plus", weights, checkpoint, classes, num_classes, input_size, default=default, width=width, middle=middle
    )
    network = begin.make(lambda: DeepLabV3Plus(len(begin.classes), **begin.arguments))
    return segmenter(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class DeepLabV3Plus(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W), any H and W. dropout: share of the pyramid's maps, in training only."""

    def __init__(self, classes: int, width: int = 32, middle: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        maps = 8 * width  # 256
        low = width * 3 // 2  # 48
        self.encoder = Xception(width, middle)
        self.pyramid = nn.ModuleList([conv(64 * width, maps, 1), *(Separable(64 * width, maps, dilation=rate) for rate in RATES)])
        self.average = conv(64 * width, maps, 1)
        self.project = nn.Sequential(conv((2 + len(RATES)) * maps, maps, 1), nn.Dropout2d(dropout))
        self.fine = conv(8 * width, low, 1)
        self.refine = nn.Sequential(Separable(maps + low, maps), Separable(maps, maps))
        self.score = nn.Conv2d(maps, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every pixel."""
        fine, deep = self.encoder(x)
        image = self.average(deep.mean((2, 3), keepdim=True)).expand(-1, -1, *deep.shape[-2:])
        joined = self.project(torch.cat([image, *(branch(deep) for branch in self.pyramid)], dim=1))
        fine = self.fine(fine)
        refined = self.refine(torch.cat([_resize(joined, fine.shape[-2:]), fine], dim=1))
        return _resize(self.score(refined), x.shape[-2:])


class Xception(nn.Module):
    """(N, 3, H, W) -> features at a quarter (N, 8 width, h, w) and at a sixteenth (N, 64 width, h', w') of each side."""

    def __init__(self, width: int = 32, middle: int = 16) -> None:
        super().__init__()
        wide = width * 91 // 4  # 728
        self.stem = nn.Sequential(conv(3, width, 3, stride=2), conv(width, 2 * width, 3))
        self.entry1 = Block((2 * width, 4 * width, 4 * width, 4 * width), stride=2)
        self.entry2 = Block((4 * width, 8 * width, 8 * width, 8 * width), stride=2)
        self.entry3 = Block((8 * width, wide, wide, wide), stride=2)
        self.middle = nn.Sequential(*(Block((wide, wide, wide, wide)) for _ in range(middle)))
        self.exit1 = Block((wide, wide, 32 * width, 32 * width))
        ends = (32 * width, 48 * width, 48 * width, 64 * width)
        self.exit2 = nn.Sequential(*(Separable(i, o, dilation=2) for i, o in itertools.pairwise(ends)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The features before the second stride of the entry's second block, and the last."""
        x = self.entry1(self.stem(x))
        fine = self.entry2.before_stride(x)
        x = self.middle(self.entry3(self.entry2.finished(x, fine)))
        return fine, self.exit2(F.relu(self.exit1(x)))


class Block(nn.Module):
    """Three separable convolutions, each after a ReLU, and a shortcut, with its own 1x1 where size or number of maps change."""

    def __init__(self, maps: tuple[int, int, int, int], stride: int = 1) -> None:
        super().__init__()
        self.first = Separable(maps[0], maps[1], relu=False)
        self.second = Separable(maps[1], maps[2], relu=False)
        self.third = Separable(maps[2], maps[3], stride=stride, relu=False)
        same = stride == 1 and maps[0] == maps[3]
        self.shortcut = nn.Identity() if same else conv(maps[0], maps[3], 1, stride=stride, relu=False)

    def before_stride(self, x: Tensor) -> Tensor:
        """What the third convolution reads, before its ReLU."""
        features: Tensor = self.second(F.relu(self.first(F.relu(x))))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """(N, maps[0], H, W) -> (N, maps[3], h, w), no ReLU at the end."""
        return self.finished(x, self.before_stride(x))

    def finished(self, x: Tensor, before: Tensor) -> Tensor:
        """The block's output, from its input and what `before_stride` made of it."""
        features: Tensor = self.shortcut(x) + self.third(F.relu(before))
        return features


class Separable(nn.Sequential):
    """3x3 on each map by itself, then 1x1 across maps; batch normalisation after both, ReLU after the first and, if `relu`, the second."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1, dilation: int = 1, relu: bool = True) -> None:
        alone = nn.Conv2d(inside, inside, 3, stride, padding=dilation, dilation=dilation, groups=inside, bias=False)
        super().__init__(alone, nn.BatchNorm2d(inside), nn.ReLU(), *conv(inside, outside, 1, relu=relu))


def conv(inside: int, outside: int, side: int, *, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution that keeps the size (but for its stride), batch normalisation and, if `relu`, ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(inside, outside, side, stride, padding=side // 2, bias=False), nn.BatchNorm2d(outside)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=True)
