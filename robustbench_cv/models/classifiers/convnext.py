"""ConvNeXt. Liu et al., CVPR 2022, https://arxiv.org/abs/2201.03545"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.classifiers.library import from_torchvision


@model(
    task="classification",
    family="ConvNeXt",
    paper="arXiv:2201.03545",
    year=2022,
    source="torchvision",
    parameters=28_589_128,
    reduced="input_size=64",
)
def convnext(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """ConvNeXt-Tiny: a convolutional network with the choices that transformers made. Other sizes: torchvision:convnext_base.

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        "convnext", "convnext_tiny", weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size
    )
