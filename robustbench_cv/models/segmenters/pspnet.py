"""Pyramid scene parsing network. Zhao, Shi, Qi, Wang, Jia, CVPR 2017, https://arxiv.org/abs/1612.01105

A residual network of bottlenecks with a stem of three 3x3 convolutions, its last two stages dilated so that features keep an eighth of the
image's side; averages over 1, 4, 9 and 36 parts of the image beside them. Layers as in the authors' Caffe models: the stride in the first
1x1 convolution of its bottleneck, in the network of depth 101 in the 3x3; interpolation with aligned corners. The auxiliary head of
training is left out: it takes no part in a prediction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottlenecks in each stage, by the residual network's depth; the paper has 50 to 269."""
BINS = (1, 2, 3, 6)
"""Parts of each side over which the pyramid averages."""


@model(
    task="segmentation",
    family="PSPNet",
    paper="arXiv:1612.01105",
    year=2016,
    source="own",
    parameters=46_782_550,
    reduced="width=8, depth=14, num_classes=3",
)
def pspnet(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    depth: NonNegativeInt = 0,
) -> Segmenter:
    """PSPNet for images of any size; sides of 8k+1 px are the ones it aligns (473 and 713 in the paper).

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 150, as ADE20K has). input_size: the side or 'WxH' to which images are scaled (default:
    what the weights were trained at, else as they are). width: maps of the stem (default 64). depth: of the residual network, 14, 26, 50,
    101 or 152 (default 50).
    """
    default = Description(architecture="pspnet", classes=Labels.numbered(150).names, arguments={"width": 64, "depth": 50})
    begin = initial_weights("pspnet", weights, checkpoint, classes, num_classes, input_size, default=default, width=width, depth=depth)
    network = begin.make(lambda: PSPNet(len(begin.classes), **begin.arguments))
    return segmenter(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class PSPNet(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W), any H and W. dropout: share of the last maps, in training only."""

    def __init__(self, classes: int, width: int = 64, depth: int = 50, dropout: float = 0.1) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise UserError(f"pspnet has residual networks of depth {', '.join(map(str, BLOCKS))}, not {depth}")
        self.stem = nn.Sequential(_conv(3, width, 3, stride=2), _conv(width, width, 3), _conv(width, 2 * width, 3))
        first, second, third, fourth = BLOCKS[depth]
        self.stage1 = _stage(2 * width, width, first)
        self.stage2 = _stage(4 * width, 2 * width, second, stride=2, late=depth == 101)
        self.stage3 = _stage(8 * width, 4 * width, third, dilation=2)
        self.stage4 = _stage(16 * width, 8 * width, fourth, dilation=4)
        self.pyramid = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), _conv(32 * width, 32 * width // len(BINS), 1)) for bins in BINS
        )
        self.join = nn.Sequential(_conv(64 * width, 8 * width, 3), nn.Dropout2d(dropout))
        self.score = nn.Conv2d(8 * width, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every pixel."""
        whole = x.shape[-2:]
        x = F.max_pool2d(self.stem(x), 3, stride=2, padding=1)
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))
        x = torch.cat([x, *(_resize(part(x), x.shape[-2:]) for part in self.pyramid)], dim=1)
        return _resize(self.score(self.join(x)), whole)


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def _stage(inside: int, middle: int, blocks: int, *, stride: int = 1, dilation: int = 1, late: bool = False) -> nn.Sequential:
    first = Bottleneck(inside, middle, stride, dilation, late=late)
    return nn.Sequential(first, *(Bottleneck(4 * middle, middle, 1, dilation) for _ in range(blocks - 1)))


class Bottleneck(nn.Module):
    """1x1 to `middle` maps, 3x3, 1x1 to four times as many, and a shortcut, with its own 1x1 where the number of maps changes.

    late: the 3x3 has the stride, else the 1x1 before it.
    """

    def __init__(self, inside: int, middle: int, stride: int, dilation: int, *, late: bool = False) -> None:
        super().__init__()
        outside = 4 * middle
        self.reduce = _conv(inside, middle, 1, stride=1 if late else stride)
        self.see = _conv(middle, middle, 3, stride=stride if late else 1, dilation=dilation)
        self.increase = nn.Sequential(*list(_conv(middle, outside, 1))[:2])
        self.project = nn.Sequential(*list(_conv(inside, outside, 1, stride=stride))[:2]) if inside != outside else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, 4 middle, h, w)."""
        return F.relu(self.project(x) + self.increase(self.see(self.reduce(x))))


def _conv(inside: int, outside: int, side: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution that keeps the size (but for its stride), batch normalisation, ReLU."""
    conv = nn.Conv2d(inside, outside, side, stride, padding=dilation * (side // 2), dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU())
