"""DenseNet. Huang, Liu, van der Maaten, Weinberger, CVPR 2017, https://arxiv.org/abs/1608.06993"""

from __future__ import annotations

from torch import nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.library import from_torchvision
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="DenseNet",
    paper="arXiv:1608.06993",
    year=2016,
    source="torchvision",
    reduced="input_size=64",
    members={
        "densenet121": {"parameters": 7_978_856},
        "densenet161": {"parameters": 28_681_000},
        "densenet169": {"parameters": 14_149_480},
        "densenet201": {"parameters": 20_013_928},
    },
)
def densenet(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """Densely connected network: each layer reads the maps of all layers before it.

    weights: torchvision's name ("DEFAULT", "IMAGENET1K_V1"). checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_torchvision(
        name, name, weights=weights, checkpoint=checkpoint, classes=classes, num_classes=num_classes, input_size=input_size
    )


@model(
    task="classification",
    family="DenseNet",
    paper="arXiv:1608.06993",
    year=2016,
    source="torchvision",
    parameters=193_690,
    reduced="growth=4, num_classes=5",
)
def densenet_mini(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    growth: NonNegativeInt = 0,
) -> Classifier:
    """DenseNet in small: four blocks of four layers.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 10). input_size: the side or 'WxH' to which images are scaled (default: what
    the weights were trained at, else 64). growth: maps that each layer adds (default 14;
    DenseNet-121 has 32).
    """
    default = Description(architecture="densenet-mini", classes=Labels.numbered(10).names, input_size=(64, 64), arguments={"growth": 14})
    begin = initial_weights("densenet-mini", weights, checkpoint, classes, num_classes, input_size, default=default, growth=growth)
    growth = begin.arguments["growth"]
    network = begin.make(lambda: mini_densenet(len(begin.classes), growth))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


def mini_densenet(classes: int, growth: int) -> nn.Module:
    """(N, 3, H, W) -> (N, classes): blocks of 4, 4, 4, 4 layers after the stem of the paper."""
    from torchvision.models import DenseNet

    network: nn.Module = DenseNet(growth, (4, 4, 4, 4), 2 * growth, num_classes=classes)
    return network
