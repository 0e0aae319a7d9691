"""The introductory network of courses: one convolution, one pool, one fully connected layer; a convolutional network at its smallest.

The kind is that of LeCun et al., Neural Computation 1(4), 1989; the numbers are those that courses count: 10 filters of 5x5 on one channel
(250 weights and 10 biases), a pool to 13x13x10 = 1,690 values, and a fully connected layer to 200 (338,000 and 200): 338,460 parameters.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.building_blocks import conv, grey, output_size
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

FILTERS, KERNEL, CLASSES, SIDE = 10, 5, 200, 30
"""Of the convolution; classes and input px by default."""


@model(
    task="classification",
    family="Shallow CNN",
    paper="doi:10.1162/neco.1989.1.4.541",
    year=1989,
    source="own",
    parameters=338_460,
    reduced="num_classes=5, input_size=12",
)
def shallow_cnn(
    weights: str = "", checkpoint: str = "", classes: str = "", num_classes: ClassCount = 0, input_size: NonNegativeInt | str = ""
) -> Classifier:
    """A convolution of 10 filters of 5x5 on brightness, a 2x2 max-pool and one fully connected layer, for 30 px.

    Project choices, where courses give only the counts: the 200 units of the last layer are the scores of 200 classes; the image has 30 px
    and no padding, since 13x13 after a 2x2 pool are 26x26 before it, and a 5x5 kernel takes 4 px; a ReLU stands after the convolution.
    weights: a tag. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c"; num_classes where
    names are not known (default 200). input_size: the side or 'WxH' to which images are scaled (default: what the weights were trained at,
    else 30). UserError for images of less than 6 px.
    """
    default = Description(architecture="shallow-cnn", classes=Labels.numbered(CLASSES).names, input_size=(SIDE, SIDE))
    begin = initial_weights("shallow-cnn", weights, checkpoint, classes, num_classes, input_size, default=default)
    size = begin.input_size or (SIDE, SIDE)
    network = begin.make(lambda: ShallowCnn(len(begin.classes), size))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=size)


class ShallowCnn(nn.Module):
    """(N, 3, *size) -> (N, classes), of the images' brightness alone."""

    def __init__(self, classes: int = CLASSES, size: tuple[int, int] = (SIDE, SIDE)) -> None:
        super().__init__()
        self.features = nn.Sequential(*conv(1, FILTERS, KERNEL), nn.MaxPool2d(2))
        height, width = output_size(self.features, size)
        self.output = nn.Linear(FILTERS * height * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        scores: Tensor = self.output(self.features(grey(x)).flatten(1))
        return scores
