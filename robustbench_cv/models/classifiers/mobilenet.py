"""MobileNets: depthwise-separable convolutions for phones. Howard et al., 2017; Sandler et al., CVPR 2018; Howard et al., ICCV 2019"""

from __future__ import annotations

from torch import nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.library import from_timm, from_torchvision
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="MobileNet",
    paper="arXiv:1704.04861",
    year=2017,
    source="timm",
    parameters=4_231_976,
    reduced="input_size=64",
)
def mobilenet_v1(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """MobileNet 1.0.

    weights: timm's tag ("ra4_e3600_r224_in1k"), or "DEFAULT". checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_timm(
        "mobilenet-v1",
        "mobilenetv1_100",
        weights=weights,
        checkpoint=checkpoint,
        classes=classes,
        num_classes=num_classes,
        input_size=input_size,
    )


MOBILENETS = {"mobilenet-v2": "mobilenet_v2", "mobilenet-v3": "mobilenet_v3_large", "mobilenet-v3-small": "mobilenet_v3_small"}
"""The library's own names."""


@model(
    task="classification",
    family="MobileNet",
    paper="arXiv:1905.02244",
    year=2019,
    source="torchvision",
    reduced="input_size=64",
    members={
        "mobilenet-v2": {"parameters": 3_504_872, "paper": "arXiv:1801.04381", "year": 2018},
        "mobilenet-v3": {"parameters": 5_483_032},
        "mobilenet-v3-small": {"parameters": 2_542_856},
    },
)
def mobilenet(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """MobileNetV2 1.0, and MobileNetV3: `mobilenet-v3` is its large version, `mobilenet-v3-small` its small one.

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        name, MOBILENETS[name], weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size
    )


@model(
    task="classification",
    family="MobileNet",
    paper="arXiv:1801.04381",
    year=2018,
    source="torchvision",
    parameters=213_258,
    reduced="width=8, num_classes=5",
)
def mobilenet_v2_mini(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Classifier:
    """MobileNetV2 in small: seven inverted residual blocks, of which three reduce the size.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 10). input_size: the side or 'WxH' to which images are scaled (default: what
    the weights were trained at, else 64). width: maps after the first block (default 16);
    four times as many at the end.
    """
    default = Description(architecture="mobilenet-v2-mini", classes=Labels.numbered(10).names, input_size=(64, 64), arguments={"width": 16})
    begin = initial_weights("mobilenet-v2-mini", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    network = begin.make(lambda: mini_mobilenet(len(begin.classes), begin.arguments["width"]))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


def mini_mobilenet(classes: int, width: int) -> nn.Module:
    """(N, 3, H, W) -> (N, classes), the last 1x1 convolution with the paper's 1280 maps."""
    from torchvision.models import MobileNetV2

    # Rows of the paper's table 2: expansion, maps, repeats, stride of the first.
    blocks = [[1, width, 1, 1], [6, width * 3 // 2, 2, 2], [6, width * 2, 2, 2], [6, width * 4, 2, 2]]
    network: nn.Module = MobileNetV2(num_classes=classes, inverted_residual_setting=blocks)
    return network
