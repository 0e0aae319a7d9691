"""OverFeat's fast model. Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, ICLR 2014, https://arxiv.org/abs/1312.6229, table 1

AlexNet without towers or response normalisation, with pools that do not overlap: maps of 56, 28, 24, 12, 12, 12, 12, 6 px from 231.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.building_blocks import conv, dense, he_initialisation, output_size
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="OverFeat",
    paper="arXiv:1312.6229",
    year=2013,
    source="own",
    parameters=145_920_872,
    reduced="width=12, num_classes=5, input_size=103",
)
def overfeat(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Classifier:
    """OverFeat (fast) for 231 px.

    weights: a bundled tag. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 1000). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else 231). width: maps of the first layer, a multiple of 3 (default 96); the others keep their ratio to it.
    """
    default = Description(architecture="overfeat", classes=Labels.numbered(1000).names, input_size=(231, 231), arguments={"width": 96})
    begin = initial_weights("overfeat", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    size = begin.input_size or (231, 231)
    network = begin.make(lambda: OverFeat(len(begin.classes), size, begin.arguments["width"]))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=size)


class OverFeat(nn.Module):
    """(N, 3, *size) -> (N, classes)."""

    def __init__(self, classes: int, size: tuple[int, int] = (231, 231), width: int = 96) -> None:
        super().__init__()
        second, third, fourth = (width * times // 3 for times in (8, 16, 32))
        self.features = nn.Sequential(
            *conv(3, width, 11, stride=4), nn.MaxPool2d(2),
            *conv(width, second, 5), nn.MaxPool2d(2),
            *conv(second, third, 3, pad=1), *conv(third, fourth, 3, pad=1), *conv(fourth, fourth, 3, pad=1), nn.MaxPool2d(2),
        )  # fmt: skip
        height, across = output_size(self.features, size)
        sixth, seventh = width * 32, width * 128 // 3
        self.classifier = nn.Sequential(*dense(fourth * height * across, sixth), *dense(sixth, seventh), nn.Linear(seventh, classes))
        he_initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        scores: Tensor = self.classifier(self.features(x).flatten(1))
        return scores
