"""NASNet and MnasNet: architectures found by search. Zoph et al., CVPR 2018; Tan et al., CVPR 2019"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.classifiers.library import from_timm, from_torchvision


@model(
    task="classification",
    family="NASNet",
    paper="arXiv:1707.07012",
    year=2017,
    source="timm",
    parameters=88_753_150,
    reduced="input_size=64",
)
def nasnet(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """NASNet-A (6 @ 4032), its cells found on CIFAR-10, for 331 px.

    weights: timm's tag ("tf_in1k"), or "DEFAULT". checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_timm(
        "nasnet", "nasnetalarge", weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size
    )


@model(
    task="classification",
    family="MnasNet",
    paper="arXiv:1807.11626",
    year=2018,
    source="torchvision",
    parameters=4_383_312,
    reduced="input_size=64",
)
def mnasnet(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """MnasNet-B1 1.0: searched for accuracy and for latency on a phone.

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        "mnasnet", "mnasnet1_0", weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size
    )
