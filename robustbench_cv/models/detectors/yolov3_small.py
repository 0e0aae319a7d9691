"""A small YOLOv3-style detector. Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018, https://arxiv.org/abs/1804.02767"""

from __future__ import annotations

import torch

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import describe_module, freeze
from robustbench_cv.models.detectors.yolo.detector import YoloDetector
from robustbench_cv.models.detectors.yolo.network import Yolo
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
"""The paper's, in px at an input of 416; used where no weights bring their own."""


@model(
    task="detection",
    family="YOLO",
    paper="arXiv:1804.02767",
    year=2018,
    source="own",
    parameters=1_019_693,
    reduced="input_size=64, num_classes=3",
)
def yolov3_small(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    threshold: Fraction = 0.005,
    operating_score: Fraction = 0.25,
    nms_iou: Fraction = 0.45,
) -> YoloDetector:
    """Three scales, nine anchors, objectness and independent classes, a fraction of YOLOv3's size.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 80). input_size: side of the square, a multiple of 32, into which images are fitted
    with grey borders (default: what the weights were trained at, else 416). width: maps at full resolution (default 16). threshold: the
    least score decode keeps, low because average precision needs the tail; operating_score: from where a box counts as reported.
    """
    default = Description(architecture="yolov3-small", classes=Labels.numbered(80).names, input_size=(416, 416), arguments={"width": 16})
    begin = initial_weights("yolov3-small", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    side = square_side(begin.input_size)
    anchors = torch.tensor(ANCHORS) * side / 416
    network = freeze(begin.make(lambda: Yolo(len(begin.classes), anchors, begin.arguments["width"])))
    facts = (f"side={side}", f"threshold={threshold}", f"nms_iou={nms_iou}")
    info = describe_module(network, begin.name, "detection", begin.classes, *facts, operating_score=operating_score)
    return YoloDetector(module=network, info=info, side=side, threshold=threshold, nms_iou=nms_iou)


def square_side(size: tuple[int, int] | None) -> int:
    """The side of a square that the strides divide; UserError for anything else."""
    if size is None or size[0] != size[1] or size[0] % 32:
        raise UserError(f"yolov3-small fits images into a square with a side that is a multiple of 32, not {size}; say input_size=96")
    return size[0]
