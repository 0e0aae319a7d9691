"""ZFNet, which won ILSVRC 2013. Zeiler, Fergus, ECCV 2014, https://arxiv.org/abs/1311.2901

AlexNet in one tower with a finer beginning: 7x7 windows with stride 2, then 5x5 with stride 2. Maps of 110, 55, 26, 13, 13, 6 px from 224.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.building_blocks import brightness, conv, dense, he_initialisation, output_size
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="ZFNet",
    paper="arXiv:1311.2901",
    year=2013,
    source="own",
    parameters=62_357_608,
    reduced="width=12, num_classes=5, input_size=64",
)
def zfnet(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Classifier:
    """ZFNet for 224 px.

    weights: a bundled tag. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 1000). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else 224). width: maps of the first layer, a multiple of 3 (default 96); the others keep their ratio to it.
    """
    default = Description(architecture="zfnet", classes=Labels.numbered(1000).names, input_size=(224, 224), arguments={"width": 96})
    begin = initial_weights("zfnet", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    size = begin.input_size or (224, 224)
    network = begin.make(lambda: ZFNet(len(begin.classes), size, begin.arguments["width"]))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=size)


class ZFNet(nn.Module):
    """(N, 3, *size) -> (N, classes). Deviation: AlexNet's response normalisation; the paper does not define its contrast normalisation."""

    def __init__(self, classes: int, size: tuple[int, int] = (224, 224), width: int = 96) -> None:
        super().__init__()
        middle, wide, units = width * 8 // 3, width * 4, width * 128 // 3
        self.features = nn.Sequential(
            *conv(3, width, 7, stride=2, pad=1), nn.MaxPool2d(3, 2, 1), brightness(),
            *conv(width, middle, 5, stride=2), nn.MaxPool2d(3, 2, 1), brightness(),
            *conv(middle, wide, 3, pad=1), *conv(wide, wide, 3, pad=1), *conv(wide, middle, 3, pad=1), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        height, across = output_size(self.features, size)
        self.classifier = nn.Sequential(*dense(middle * height * across, units), *dense(units, units), nn.Linear(units, classes))
        he_initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        scores: Tensor = self.classifier(self.features(x).flatten(1))
        return scores
