"""Very deep networks of 3x3 convolutions. Simonyan, Zisserman, ICLR 2015, https://arxiv.org/abs/1409.1556"""

from __future__ import annotations

from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.building_blocks import conv_norm, dense, he_initialisation, output_size
from robustbench_cv.models.classifiers.library import from_torchvision
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="VGG",
    paper="arXiv:1409.1556",
    year=2014,
    source="torchvision",
    reduced="input_size=32, num_classes=10",
    members={
        "vgg11": {"parameters": 132_863_336},
        "vgg13": {"parameters": 133_047_848},
        "vgg16": {"parameters": 138_357_544},
        "vgg19": {"parameters": 143_667_240},
    },
)
def vgg(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """VGG with 11, 13, 16 or 19 layers (configurations A, B, D, E).

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        name, name, weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size
    )


@model(
    task="classification",
    family="VGG",
    paper="arXiv:1409.1556",
    year=2014,
    source="own",
    parameters=259_100,
    reduced="width=6, num_classes=5",
)
def vgg_mini(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Classifier:
    """VGG-11 in small: its eight convolutions and three fully connected layers, with batch normalisation.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 10). input_size: the side or 'WxH' to which images are scaled (default: what
    the weights were trained at, else 64). width: maps of the first layer (default 10; VGG's 64); they double three
    times.
    """
    default = Description(architecture="vgg-mini", classes=Labels.numbered(10).names, input_size=(64, 64), arguments={"width": 10})
    begin = initial_weights("vgg-mini", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    size = begin.input_size or (64, 64)
    network = begin.make(lambda: Vgg(len(begin.classes), LAYERS_11, size, begin.arguments["width"], begin.arguments["width"] * 8))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=size)


LAYERS_11 = ((1,), (2,), (4, 4), (8, 8), (8, 8))
"""Configuration A: maps of each convolution, in units of the first layer's, between one max-pool and the next."""


class Vgg(nn.Module):
    """(N, 3, *size) -> (N, classes). He initialisation.

    layers: maps of the 3x3 convolutions before each 2x2 max-pool, in units of `width`. units: of the two hidden layers.
    """

    def __init__(
        self, classes: int, layers: tuple[tuple[int, ...], ...], size: tuple[int, int], width: int = 64, units: int = 4096
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        maps = 3
        for group in layers:
            for times in group:
                parts += [*conv_norm(maps, times * width, 3, pad=1), nn.ReLU(inplace=True)]
                maps = times * width
            parts.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*parts)
        height, across = output_size(parts, size)
        self.classifier = nn.Sequential(*dense(maps * height * across, units), *dense(units, units), nn.Linear(units, classes))
        he_initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        scores: Tensor = self.classifier(self.features(x).flatten(1))
        return scores
