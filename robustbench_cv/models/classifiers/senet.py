"""Squeeze-and-excitation networks. Hu, Shen, Sun, CVPR 2018, https://arxiv.org/abs/1709.01507"""

from __future__ import annotations

from typing import Any

from torch import nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.library import from_timm
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="SENet",
    paper="arXiv:1709.01507",
    year=2017,
    source="timm",
    reduced="input_size=64",
    members={
        "seresnet50": {"parameters": 28_088_024},
        "senet154": {"parameters": 115_088_984},
    },
)
def senet(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """ResNet-50 whose blocks weigh their maps, and SENet-154, the winner of ILSVRC 2017.

    weights: timm's tag ("a1_in1k"), or "DEFAULT". checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_timm(name, name, weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size)


@model(
    task="classification",
    family="SENet",
    paper="arXiv:1709.01507",
    year=2017,
    source="timm",
    parameters=329_978,
    reduced="width=8, num_classes=5",
)
def seresnet_mini(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
) -> Classifier:
    """SE-ResNet-10: a basic block with squeeze and excitation at each of four resolutions.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 10). input_size: the side or 'WxH' to which images are scaled (default: what
    the weights were trained at, else 64). width: maps of the first layer (default 16);
    they double three times.
    """
    default = Description(architecture="seresnet-mini", classes=Labels.numbered(10).names, input_size=(64, 64), arguments={"width": 16})
    begin = initial_weights("seresnet-mini", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    network = begin.make(lambda: mini_seresnet(len(begin.classes), begin.arguments["width"]))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


def mini_seresnet(classes: int, width: int) -> nn.Module:
    """(N, 3, H, W) -> (N, classes)."""
    from timm.models.resnet import BasicBlock, ResNet

    channels = tuple(width * 2**level for level in range(4))
    attention = {"attn_layer": "se"}
    block: Any = BasicBlock  # timm's annotation means an instance
    network: nn.Module = ResNet(block, (1, 1, 1, 1), num_classes=classes, stem_width=width, channels=channels, block_args=attention)
    return network
