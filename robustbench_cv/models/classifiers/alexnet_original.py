"""AlexNet as it was. Krizhevsky, Sutskever, Hinton, NeurIPS 2012, https://papers.nips.cc/paper/4824

Five convolutions in two towers (groups of 2, which the paper kept on two GPUs and joined before the third), response normalisation after
the first two, three fully connected layers. The paper says 224 px; its first layer gives 55x55 maps only at the 227 px used here.
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
    family="AlexNet",
    paper="https://papers.nips.cc/paper/4824",
    year=2012,
    source="own",
    parameters=60_965_224,
    reduced="width=12, stem=2, units=32, num_classes=5, input_size=64",
)
def alexnet_original(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    stem: NonNegativeInt = 0,
    units: NonNegativeInt = 0,
) -> Classifier:
    """AlexNet with its two towers; `alexnet` is the one-tower network of which weights are published.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 1000). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else 227). width: maps of the first layer, a multiple of 6 (default 96); the others keep their ratio to it.
    stem: stride of the first layer (default 4). units: of the two hidden layers (default 4096).
    """
    default = Description(
        architecture="alexnet-original",
        classes=Labels.numbered(1000).names,
        input_size=(227, 227),
        arguments={"width": 96, "stem": 4, "units": 4096},
    )
    begin = initial_weights(
        "alexnet-original", weights, checkpoint, classes, num_classes, input_size, default=default, width=width, stem=stem, units=units
    )
    size = begin.input_size or (227, 227)
    network = begin.make(lambda: AlexNet(len(begin.classes), size, **begin.arguments))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=size)


class AlexNet(nn.Module):
    """(N, 3, *size) -> (N, classes). He initialisation, where the paper has a fixed deviation of 0.01 and some biases of 1."""

    def __init__(self, classes: int, size: tuple[int, int] = (227, 227), width: int = 96, stem: int = 4, units: int = 4096) -> None:
        super().__init__()
        middle, wide = width * 8 // 3, width * 4
        self.features = nn.Sequential(
            *conv(3, width, 11, stride=stem), brightness(), nn.MaxPool2d(3, 2),
            *conv(width, middle, 5, pad=2, groups=2), brightness(), nn.MaxPool2d(3, 2),
            *conv(middle, wide, 3, pad=1), *conv(wide, wide, 3, pad=1, groups=2),
            *conv(wide, middle, 3, pad=1, groups=2), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        height, across = output_size(self.features, size)
        self.classifier = nn.Sequential(*dense(middle * height * across, units), *dense(units, units), nn.Linear(units, classes))
        he_initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        scores: Tensor = self.classifier(self.features(x).flatten(1))
        return scores
