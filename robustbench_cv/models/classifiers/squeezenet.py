"""SqueezeNet: AlexNet's accuracy in a fiftieth of its parameters. Iandola et al., 2016, https://arxiv.org/abs/1602.07360"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.classifiers.library import from_torchvision

SQUEEZENETS = {"squeezenet": "squeezenet1_0", "squeezenet1-1": "squeezenet1_1"}
"""The library's own names."""


@model(
    task="classification",
    family="SqueezeNet",
    paper="arXiv:1602.07360",
    year=2016,
    source="torchvision",
    reduced="input_size=64",
    members={
        "squeezenet": {"parameters": 1_248_424},
        "squeezenet1-1": {"parameters": 1_235_496},
    },
)
def squeezenet(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """Fire modules: 1x1 convolutions squeeze, 1x1 and 3x3 expand. `squeezenet` is version 1.0, `squeezenet1-1` the authors' cheaper one.

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        name, SQUEEZENETS[name], weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size
    )
