"""Network in network. Lin, Chen, Yan, ICLR 2014, https://arxiv.org/abs/1312.4400

Each convolution is followed by two of 1x1, a small perceptron at every pixel; the last has one map a class, whose mean is the score, so
nothing is fully connected.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.building_blocks import conv, he_initialisation
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="Network in network",
    paper="arXiv:1312.4400",
    year=2013,
    source="own",
    parameters=7_595_176,
    reduced="width=6, num_classes=5, input_size=67",
)
def network_in_network(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Classifier:
    """Network in network for ImageNet, in the layout of the weights that its authors published.

    weights: a bundled tag. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 1000). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else 224). width: maps of the first layer, a multiple of 3 (default 96); the others keep their ratio to it.
    """
    default = Description(
        architecture="network-in-network", classes=Labels.numbered(1000).names, input_size=(224, 224), arguments={"width": 96}
    )
    begin = initial_weights("network-in-network", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    network = begin.make(lambda: for_imagenet(len(begin.classes), begin.arguments["width"]))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


@model(
    task="classification",
    family="Network in network",
    paper="arXiv:1312.4400",
    year=2013,
    source="own",
    parameters=966_986,
    reduced="width=12, num_classes=5",
)
def network_in_network_cifar(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    stem: NonNegativeInt = 0,
) -> Classifier:
    """Network in network for images of 32x32.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 10). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else 32). width: maps of the first layer, a multiple of 6 (default 192); the others keep their ratio to it.
    stem: stride of the first layer (default 1).
    """
    name = "network-in-network-cifar"
    default = Description(architecture=name, classes=Labels.numbered(10).names, input_size=(32, 32), arguments={"width": 192, "stem": 1})
    begin = initial_weights(name, weights, checkpoint, classes, num_classes, input_size, default=default, width=width, stem=stem)
    network = begin.make(lambda: for_cifar(len(begin.classes), **begin.arguments))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class NetworkInNetwork(nn.Module):
    """(N, 3, H, W) -> (N, classes): `features` down to a map a class, then the mean of each."""

    def __init__(self, *features: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        he_initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        maps: Tensor = self.features(x)
        return maps.mean(dim=(2, 3))


def for_imagenet(classes: int, width: int = 96) -> NetworkInNetwork:
    """Four blocks, from 11x11 windows with stride 4; maps of 54, 27, 13, 6 px from 224."""
    second, third, fourth = (width * times // 3 for times in (8, 12, 32))
    return NetworkInNetwork(
        *mlpconv(3, (width, width, width), 11, stride=4), nn.MaxPool2d(3, 2, ceil_mode=True),
        *mlpconv(width, (second, second, second), 5, pad=2), nn.MaxPool2d(3, 2, ceil_mode=True),
        *mlpconv(second, (third, third, third), 3, pad=1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout(0.5),
        *mlpconv(third, (fourth, fourth, classes), 3, pad=1),
    )  # fmt: skip


def for_cifar(classes: int, width: int = 192, stem: int = 1) -> NetworkInNetwork:
    """Three blocks; maps of 32, 16, 8 px from 32."""
    return NetworkInNetwork(
        *mlpconv(3, (width, width * 5 // 6, width // 2), 5, pad=2, stride=stem), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout(0.5),
        *mlpconv(width // 2, (width, width, width), 5, pad=2), nn.AvgPool2d(3, 2, ceil_mode=True), nn.Dropout(0.5),
        *mlpconv(width, (width, width, classes), 3, pad=1),
    )  # fmt: skip


def mlpconv(inside: int, maps: tuple[int, int, int], side: int, *, stride: int = 1, pad: int = 0) -> list[nn.Module]:
    """A convolution and the perceptron of two hidden layers behind it, each with a ReLU, the class maps too."""
    first, second, third = maps
    return [*conv(inside, first, side, stride=stride, pad=pad), *conv(first, second, 1), *conv(second, third, 1)]
