"""Inception-v3, v4 and Inception-ResNet. Szegedy et al., CVPR 2016 and AAAI 2017"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.classifiers.library import from_timm


@model(
    task="classification",
    family="Inception",
    paper="arXiv:1602.07261",
    year=2016,
    source="timm",
    reduced="input_size=96",
    members={
        "inception-v3": {"parameters": 23_834_568, "paper": "arXiv:1512.00567", "year": 2015},
        "inception-v4": {"parameters": 42_679_816},
        "inception-resnet-v2": {"parameters": 55_843_464},
    },
)
def inception(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """Inception-v3 (auxiliary head left out), Inception-v4, Inception-ResNet-v2, for 299 px.

    weights: timm's tag ("tf_in1k"), or "DEFAULT". checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_timm(
        name,
        name.replace("-", "_"),
        weights=weights,
        checkpoint=checkpoint,
        classes=classes,
        num_classes=num_classes,
        input_size=input_size,
    )
