"""YOLOv3 as published. Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018, https://arxiv.org/abs/1804.02767

Darknet-53, three scales of three anchors, objectness and independent classes. Deviation: images are scaled with antialiasing; e^t is
bounded at 55 anchors. `yolov3-small` is the size that trains on Scenes.
"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.detectors.darknet import published_cfgs
from robustbench_cv.models.detectors.darknet.cfg import Section
from robustbench_cv.models.detectors.darknet.detector import DarknetDetector, filled, is_darknet, names_for, wrapped
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights


@model(
    task="detection",
    family="YOLO",
    paper="arXiv:1804.02767",
    year=2018,
    source="own",
    reduced="num_classes=3, width=4, input_size=64",
    members={
        "yolov3": {"parameters": 61_949_149},
        "yolov3-spp": {"parameters": 62_998_749},
        "yolov3-tiny": {"parameters": 8_852_366},
    },
)
def yolov3(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    threshold: Fraction = 0.005,
    operating_score: Fraction = 0.25,
    nms_iou: Fraction = 0.45,
) -> DarknetDetector:
    """Version 3, with spatial pyramid pooling (yolov3-spp), and the tiny one.

    weights: a bundled tag. checkpoint: a weights file, or a Darknet file (.weights). With neither, random parameters, the same every time.
    classes: "a,b,c"; num_classes where names are not known (default: COCO's 80). input_size: side of the square, a multiple of 32, into
    which images are fitted with grey borders (default 416, 608 for yolov3-spp). width: maps of the first layer (32, 16 in yolov3-tiny),
    from which all others follow. threshold: the least score decode keeps, low because average precision needs the tail; operating_score:
    from where a box counts as reported.
    """
    size = 608 if name == "yolov3-spp" else 416
    default = Description(architecture=name, classes=names_for(classes, num_classes, 80), input_size=(size, size), arguments={"width": 0})
    file = checkpoint if is_darknet(checkpoint) else ""
    begin = initial_weights(name, weights, "" if file else checkpoint, classes, num_classes, input_size, default=default, width=width)
    side = _square(begin.input_size, name)
    network = filled(begin, published_cfgs.narrow(_sections(name, side, len(begin.classes)), begin.arguments["width"]), file)
    return wrapped(network, begin.name, begin.classes, threshold=threshold, operating_score=operating_score, nms_iou=nms_iou)


def _sections(name: str, side: int, classes: int) -> tuple[Section, ...]:
    if name == "yolov3-tiny":
        return published_cfgs.version3_tiny(side, classes)
    return published_cfgs.version3(side, classes, pyramid=name == "yolov3-spp")


def _square(size: tuple[int, int] | None, name: str) -> int:
    if size is None or size[0] != size[1] or size[0] % 32:
        raise UserError(f"{name} fits images into a square with a side that is a multiple of 32, not {size}; say input_size=416")
    return size[0]
