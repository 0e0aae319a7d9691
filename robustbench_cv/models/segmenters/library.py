"""Segmenters that torchvision keeps well, under names of ours: its networks, its weights, its preprocessing."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from robustbench_cv.arguments import LARGEST_COUNT, ClassCount, Range
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Segmenter
from robustbench_cv.models.sources.torchvision_builders import Request
from robustbench_cv.models.sources.torchvision_segmentation import segmentation

BACKBONES = {
    "fcn-resnet50": ("resnet50", "resnet101"),
    "deeplabv3": ("resnet50", "resnet101", "mobilenet_v3_large"),
    "lraspp": ("mobilenet_v3_large",),
}
"""Those that torchvision has, the one that the name alone builds first."""


@model(
    task="segmentation",
    family="DeepLab",
    paper="arXiv:1706.05587",
    year=2017,
    source="torchvision",
    members={
        "fcn-resnet50": {
            "parameters": 32_957_013,
            "family": "FCN",
            "paper": "arXiv:1411.4038",
            "year": 2014,
            "reduced": "min_size=32, num_classes=3",
        },
        "deeplabv3": {"parameters": 39_638_869, "reduced": "min_size=32, num_classes=3, backbone='mobilenet_v3_large'"},
        "lraspp": {
            "parameters": 3_221_538,
            "family": "MobileNet",
            "paper": "arXiv:1905.02244",
            "year": 2019,
            "reduced": "min_size=32, num_classes=3",
        },
    },
)
def torchvision_segmenter(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    min_size: Annotated[int, Range(-1, LARGEST_COUNT)] = -1,
    backbone: str = "",
) -> Segmenter:
    """DeepLabv3 and, as later work builds it, FCN on a dilated residual network; LR-ASPP on MobileNetV3.

    weights: torchvision's name ("DEFAULT", "COCO_WITH_VOC_LABELS_V1"). checkpoint: a file instead. With neither, random parameters, the
    same every time. classes: "a,b,c" or a text file; num_classes where names are not known (default PASCAL VOC's 21). min_size: the short
    side in px that the network sees (default 520; 0 leaves images as they are). backbone: resnet50, resnet101 or mobilenet_v3_large, where
    torchvision has it. Auxiliary heads are left out unless a weights file brings one: they take no part in a prediction.
    """
    chosen = backbone or BACKBONES[name][0]
    if chosen not in BACKBONES[name]:
        raise UserError(f"torchvision has no {name} on {chosen!r}; it has {', '.join(BACKBONES[name])}")
    request = Request(f"{name.partition('-')[0]}_{chosen}", weights or None, checkpoint or None, classes or None, num_classes or None)
    made = segmentation(request, min_size=None if min_size < 0 else min_size)
    ours = name if not backbone or backbone == BACKBONES[name][0] else f"{name.partition('-')[0]}-{backbone.replace('_', '-')}"
    title = f"{ours}.{weights}" if weights else ours if checkpoint else f"{ours} (random weights)"
    return replace(made, info=replace(made.info, name=title))
