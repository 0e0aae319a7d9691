"""Xception. Chollet, CVPR 2017, https://arxiv.org/abs/1610.02357"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.classifiers.library import from_timm


@model(
    task="classification",
    family="Xception",
    paper="arXiv:1610.02357",
    year=2016,
    source="timm",
    parameters=22_855_952,
    reduced="input_size=64",
)
def xception(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """Inception taken to its end: depthwise-separable convolutions with shortcuts, for 299 px.

    weights: timm's tag ("tf_in1k"), or "DEFAULT". checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_timm(
        "xception",
        "legacy_xception",
        weights=weights,
        checkpoint=checkpoint,
        classes=classes,
        num_classes=num_classes,
        input_size=input_size,
    )
