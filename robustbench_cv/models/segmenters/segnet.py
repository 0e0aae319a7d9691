"""SegNet and SegNet-Basic. Badrinarayanan, Kendall, Cipolla, PAMI 2017, https://arxiv.org/abs/1511.00561

An encoder, and a decoder that unpools with the places of the encoder's maxima: no features are carried across, only indices. SegNet has
the 13 convolutions of VGG-16 on both sides; SegNet-Basic four of 7x7 with 64 maps, and no ReLU in its decoder. Layers as in the authors'
Caffe models, biases and batch normalisation included. Deviation: SegNet-Basic's response normalisation of the input image is left out;
images come normalised.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.segmenters import vgg
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

DECODER = ((8, 8, 8, 8), (8, 8, 8, 4), (4, 4, 4, 2), (2, 2, 1), (1, 1))
"""Maps into and out of the convolutions after each unpooling, as multiples of the width; one more makes the scores."""


@model(
    task="segmentation",
    family="SegNet",
    paper="arXiv:1511.00561",
    year=2015,
    source="own",
    reduced="width=4, num_classes=3",
    members={"segnet": {"parameters": 29_449_355}, "segnet-basic": {"parameters": 1_416_587}},
)
def segnet(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Segmenter:
    """SegNet for images of any size.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 11, as CamVid has). input_size: the side or 'WxH' to which images are scaled (default:
    what the weights were trained at, else as they are). width: maps at full resolution (default 64).
    """
    default = Description(architecture=name, classes=Labels.numbered(11).names, arguments={"width": 64})
    begin = initial_weights(name, weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    made = SegNet if name == "segnet" else SegNetBasic
    network: nn.Module = begin.make(lambda: made(len(begin.classes), begin.arguments["width"]))
    return segmenter(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class SegNet(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W), any H and W: odd sides are unpooled to the size they had."""

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.down = vgg.stages(width, normed=True)
        self.up = nn.ModuleList(nn.Sequential(*vgg.chain([width * times for times in stage], normed=True)) for stage in DECODER)
        self.score = nn.Conv2d(width, classes, 3, padding=1)
        vgg.draw(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every pixel."""
        scores: Tensor = self.score(_there_and_back(x, self.down, self.up))
        return scores


class SegNetBasic(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W), any H and W."""

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inside, width, 7, padding=3), *vgg.after(width, normed=True)) for inside in (3, width, width, width)
        )
        self.up = nn.ModuleList(nn.Sequential(nn.Conv2d(width, width, 7, padding=3), nn.BatchNorm2d(width)) for _ in self.down)
        self.score = nn.Conv2d(width, classes, 1)
        vgg.draw(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every pixel."""
        scores: Tensor = self.score(_there_and_back(x, self.down, self.up))
        return scores


def _there_and_back(x: Tensor, down: nn.ModuleList, up: nn.ModuleList) -> Tensor:
    pools: list[vgg.Pooled] = []
    for stage in down:
        pools.append(vgg.pool(stage(x)))
        x = pools[-1].values
    for stage, pooled in zip(up, reversed(pools), strict=True):
        x = stage(vgg.unpool(x, pooled))
    return x
