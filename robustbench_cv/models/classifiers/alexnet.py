"""AlexNet. Krizhevsky, Sutskever, Hinton, NeurIPS 2012, and its one-tower successor, https://arxiv.org/abs/1404.5997"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.classifiers.library import from_torchvision


@model(
    task="classification",
    family="AlexNet",
    paper="arXiv:1404.5997",
    year=2014,
    source="torchvision",
    parameters=61_100_840,
    reduced="input_size=64, num_classes=10",
)
def alexnet(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """AlexNet on one GPU: one tower of 64-192-384-256-256 maps, no normalisation. `alexnet-original` has the two towers of 2012.

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        "alexnet", "alexnet", weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size
    )
