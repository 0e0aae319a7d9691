"""Residual networks for ImageNet and their wider kin. He et al., CVPR 2016; Xie et al., CVPR 2017"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.classifiers.library import from_torchvision


@model(
    task="classification",
    family="ResNet",
    paper="arXiv:1512.03385",
    year=2015,
    source="torchvision",
    reduced="input_size=64",
    members={
        "resnet18": {"parameters": 11_689_512},
        "resnet34": {"parameters": 21_797_672},
        "resnet50": {"parameters": 25_557_032},
        "resnet101": {"parameters": 44_549_160},
        "resnet152": {"parameters": 60_192_808},
    },
)
def resnet(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """ResNet of 18 to 152 layers. Deviation of torchvision's: in bottlenecks the 3x3 convolution has the stride, not the 1x1 before it.

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        name, name, weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size
    )


@model(
    task="classification",
    family="ResNeXt",
    paper="arXiv:1611.05431",
    year=2016,
    source="torchvision",
    reduced="input_size=64",
    members={
        "resnext50-32x4d": {"parameters": 25_028_904},
        "resnext101-32x8d": {"parameters": 88_791_336},
        "resnext101-64x4d": {"parameters": 83_455_272},
    },
)
def resnext(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """ResNeXt: the bottleneck's 3x3 convolution in 32 or 64 groups.

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        name,
        name.replace("-", "_"),
        weights=weights,
        checkpoint=checkpoint,
        classes=classes,
        num_classes=num_classes,
        input_size=input_size,
    )
