"""Deconvolution network. Noh, Hong, Han, ICCV 2015, https://arxiv.org/abs/1505.04366

VGG-16 down to one vector, and its mirror image up again: unpooling puts each value back where its maximum stood, deconvolutions fill the
gaps. Batch normalisation and ReLU after every convolution and deconvolution but the last. Deviation: the network sees the whole image,
scaled to its input; the paper's aggregation over object proposals and its random field are left out.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.segmenters import vgg
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

STRIDE = 32
DECODER = ((8, 8, 8, 8), (8, 8, 8, 4), (4, 4, 4, 2), (2, 2, 1), (1, 1, 1))
"""Maps into and out of the deconvolutions after each unpooling, as multiples of the width."""


@model(
    task="segmentation",
    family="DeconvNet",
    paper="arXiv:1505.04366",
    year=2015,
    source="own",
    parameters=251_805_653,
    reduced="width=4, hidden=16, input_size=64, num_classes=3",
)
def deconvnet(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    hidden: NonNegativeInt = 0,
) -> Segmenter:
    """DeconvNet; images are scaled to the one size that its innermost layers need.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 21, as PASCAL VOC has). input_size: side or 'WxH', multiples of 32 (default 224), part of
    the architecture. width: maps at full resolution (default 64). hidden: maps of fc6 and fc7 (default 4096).
    """
    default = Description(
        architecture="deconvnet", classes=Labels.numbered(21).names, input_size=(224, 224), arguments={"width": 64, "hidden": 4096}
    )
    begin = initial_weights("deconvnet", weights, checkpoint, classes, num_classes, input_size, default=default, width=width, hidden=hidden)
    size = begin.input_size or (224, 224)
    network = begin.make(lambda: DeconvNet(len(begin.classes), size, **begin.arguments))
    return segmenter(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=size)


class DeconvNet(nn.Module):
    """(N, 3, *size) -> (N, classes, *size). UserError where 32 does not divide the size (h, w)."""

    def __init__(self, classes: int, size: tuple[int, int] = (224, 224), width: int = 64, hidden: int = 4096) -> None:
        super().__init__()
        if size[0] % STRIDE or size[1] % STRIDE:
            raise UserError(f"deconvnet needs sides that are a multiple of {STRIDE} px, not {size[1]}x{size[0]}")
        window = (size[0] // STRIDE, size[1] // STRIDE)
        self.down = vgg.stages(width, normed=True)
        self.fc6 = nn.Sequential(nn.Conv2d(8 * width, hidden, window), *vgg.after(hidden, normed=True))
        self.fc7 = nn.Sequential(nn.Conv2d(hidden, hidden, 1), *vgg.after(hidden, normed=True))
        self.widen = nn.Sequential(nn.ConvTranspose2d(hidden, 8 * width, window), *vgg.after(8 * width, normed=True))
        self.up = nn.ModuleList(_deconvolutions([width * times for times in stage]) for stage in DECODER)
        self.score = nn.Conv2d(width, classes, 1)
        vgg.draw(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every pixel."""
        pools: list[vgg.Pooled] = []
        for stage in self.down:
            pools.append(vgg.pool(stage(x)))
            x = pools[-1].values
        x = self.widen(self.fc7(self.fc6(x)))
        for stage, pooled in zip(self.up, reversed(pools), strict=True):
            x = stage(vgg.unpool(x, pooled))
        scores: Tensor = self.score(x)
        return scores


def _deconvolutions(maps: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside in itertools.pairwise(maps):
        layers += [nn.ConvTranspose2d(inside, outside, 3, padding=1), *vgg.after(outside, normed=True)]
    return nn.Sequential(*layers)
