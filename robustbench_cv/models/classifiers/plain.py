"""Plain networks: residual ones without their shortcuts, which train worse the deeper they are. He, Zhang, Ren, Sun, CVPR 2016,
https://arxiv.org/abs/1512.03385, figure 3 (middle) and section 4.2
"""

from __future__ import annotations

from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.building_blocks import conv_norm, he_initialisation
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

BLOCKS = {
    "plain18": (2, 2, 2, 2),
    "plain34": (3, 4, 6, 3),
    "plain50": (3, 4, 6, 3),
    "plain101": (3, 4, 23, 3),
    "plain152": (3, 8, 36, 3),
}
"""Blocks at each resolution: pairs of 3x3 convolutions, and from 50 layers on bottlenecks."""


@model(
    task="classification",
    family="ResNet",
    paper="arXiv:1512.03385",
    year=2015,
    source="own",
    reduced="width=8, num_classes=5, input_size=64",
    members={
        "plain18": {"parameters": 11_515_688},
        "plain34": {"parameters": 21_623_848},
        "plain50": {"parameters": 22_780_456},
        "plain101": {"parameters": 41_772_584},
        "plain152": {"parameters": 57_416_232},
    },
)
def plain(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Classifier:
    """The layers of ResNet-18 to ResNet-152 without shortcuts, and so without the convolutions on them.

    Deviation: the paper trains plain networks of 18 and 34 layers; those of 50 to 152, bottlenecks without shortcuts, are this project's.
    weights: a bundled tag. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 1000). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else 224). width: maps of the first layer (default 64); they double three times.
    """
    default = Description(architecture=name, classes=Labels.numbered(1000).names, input_size=(224, 224), arguments={"width": 64})
    begin = initial_weights(name, weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    bottlenecks = name not in ("plain18", "plain34")
    network = begin.make(lambda: for_imagenet(len(begin.classes), BLOCKS[name], begin.arguments["width"], bottlenecks=bottlenecks))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


@model(
    task="classification",
    family="ResNet",
    paper="arXiv:1512.03385",
    year=2015,
    source="own",
    parameters=269_722,
)
def cifar_plain20(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    stem: NonNegativeInt = 0,
) -> Classifier:
    """The layers of `cifar-resnet20` without shortcuts: as many parameters, since those have none.

    weights: a bundled tag. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 10). input_size: the side or 'WxH' to which images are scaled (default: what the weights
    were trained at, else 32). stem: stride of the first convolution (default 1).
    """
    default = Description(architecture="cifar-plain20", classes=Labels.numbered(10).names, input_size=(32, 32), arguments={"stem": 1})
    begin = initial_weights("cifar-plain20", weights, checkpoint, classes, num_classes, input_size, default=default, stem=stem)
    network = begin.make(lambda: for_cifar(len(begin.classes), 3, begin.arguments["stem"]))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class Plain(nn.Module):
    """(N, 3, H, W) -> (N, classes): `stem`, then `blocks[i]` pairs of 3x3 convolutions with `width` * 2^i maps, a mean, a linear layer.

    bottlenecks: instead of a pair 1x1, 3x3 with that many maps and 1x1 with four times as many; the 3x3 has the stride, as torchvision's.
    """

    def __init__(self, stem: list[nn.Module], classes: int, blocks: tuple[int, ...], width: int, *, bottlenecks: bool = False) -> None:
        super().__init__()
        layers, maps = stem, width
        for level, times in enumerate(blocks):
            for block in range(times):
                stride, wider = 2 if block == 0 and level > 0 else 1, width * 2**level
                kernels = ((1, wider, 1), (3, wider, stride), (1, 4 * wider, 1)) if bottlenecks else ((3, wider, stride), (3, wider, 1))
                for side, outside, step in kernels:
                    layers += [*conv_norm(maps, outside, side, stride=step, pad=side // 2), nn.ReLU(inplace=True)]
                    maps = outside
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(maps, classes)
        he_initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        scores: Tensor = self.head(self.features(x).mean(dim=(2, 3)))
        return scores


def for_imagenet(classes: int, blocks: tuple[int, ...], width: int = 64, *, bottlenecks: bool = False) -> Plain:
    """A 7x7 convolution and a pool, each with stride 2, before the blocks."""
    stem = [*conv_norm(3, width, 7, stride=2, pad=3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    return Plain(stem, classes, blocks, width, bottlenecks=bottlenecks)


def for_cifar(classes: int, pairs: int, stem: int = 1) -> Plain:
    """A 3x3 convolution with stride `stem` before three times as many pairs."""
    return Plain([*conv_norm(3, 16, 3, stride=stem, pad=1), nn.ReLU(inplace=True)], classes, (pairs, pairs, pairs), 16)
