"""U-Net. Ronneberger, Fischer, Brox, MICCAI 2015, https://arxiv.org/abs/1505.04597

A contracting path, an expanding path, and the features carried across. Deviations, all usual since: 3x3 convolutions are padded, so that
the output has the image's size and nothing is cropped; batch normalisation after each; colour.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(task="segmentation", family="U-Net", paper="arXiv:1505.04597", year=2015, source="own", parameters=31_037_698, reduced="width=4")
def unet(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Segmenter:
    """U-Net of five levels for images of any size.

    weights: a bundled tag ("scenes"). checkpoint: a weights file, such as `robustbench-cv train segmenter` writes. With neither, random
    parameters, the same every time. classes: "a,b,c"; num_classes where names are not known (default 2). input_size: the side or 'WxH' to
    which images are scaled (default: what the weights were trained at, else as they are). width: maps at full resolution (default 64).
    """
    default = Description(architecture="unet", classes=Labels.numbered(2).names, arguments={"width": 64})
    begin = initial_weights("unet", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    network = begin.make(lambda: UNet(len(begin.classes), begin.arguments["width"]))
    return segmenter(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class UNet(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W), any H and W: the image is padded to a multiple of 16 by its own edge, the output cut back."""

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        maps = [width * 2**level for level in range(5)]
        self.down = nn.ModuleList(double(i, o) for i, o in zip([3, *maps[:-1]], maps, strict=True))
        self.widen = nn.ModuleList(nn.ConvTranspose2d(2 * m, m, 2, stride=2) for m in reversed(maps[:-1]))
        self.up = nn.ModuleList(double(2 * m, m) for m in reversed(maps[:-1]))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every pixel."""
        height, width = x.shape[-2:]
        if height % 16 or width % 16:
            x = F.pad(x, (0, -width % 16, 0, -height % 16), mode="replicate")
        across: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            across.append(x)
        for widen, block, skipped in zip(self.widen, self.up, reversed(across[:-1]), strict=True):
            x = block(torch.cat([skipped, widen(x)], dim=1))
        scores: Tensor = self.head(x)
        return scores[..., :height, :width]


def double(inside: int, outside: int) -> nn.Sequential:
    """Twice: 3x3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(*_conv(inside, outside), *_conv(outside, outside))


def _conv(inside: int, outside: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
