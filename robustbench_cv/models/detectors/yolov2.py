"""YOLOv2. Redmon, Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017, https://arxiv.org/abs/1612.08242

Darknet-19, five anchors a cell, a softmax over classes for each, and a finer map brought in by Darknet's reorg. Deviation: images are
scaled with antialiasing; e^t is bounded at 55 anchors.
"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.detectors.darknet import published_cfgs
from robustbench_cv.models.detectors.darknet.cfg import Section
from robustbench_cv.models.detectors.darknet.detector import DarknetDetector, filled, is_darknet, names_for, wrapped
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import InitialWeights, initial_weights


@model(
    task="detection",
    family="YOLO",
    paper="arXiv:1612.08242",
    year=2016,
    source="own",
    reduced="num_classes=3, width=4, input_size=64",
    members={
        "yolov2": {"parameters": 50_962_889},
        "yolov2-voc": {"parameters": 50_655_389},
        "yolov2-tiny": {"parameters": 11_232_057},
        "yolov2-tiny-voc": {"parameters": 15_861_773},
    },
)
def yolov2(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    widest: NonNegativeInt = 0,
    stride: NonNegativeInt = 0,
    threshold: Fraction = 0.005,
    operating_score: Fraction = 0.25,
    nms_iou: Fraction = 0.45,
) -> DarknetDetector:
    """Version 2, with COCO's anchors or VOC's, and the tiny ones.

    weights: a bundled tag ("scenes"). checkpoint: a weights file, or a Darknet file (.weights). With neither, random parameters, the same
    every time. classes: "a,b,c"; num_classes where names are not known (default: COCO's 80, or VOC's 20). input_size: side of the square,
    a multiple of the stride, into which images are fitted with grey borders (default 608 for yolov2, else 416). width: maps of the first
    layer (32, and 16 in the tiny ones), from which all others follow; widest: a bound on them. stride: px of a cell's side, for yolov2
    alone (32; 16 and 8 leave out the first halvings).
    """
    usual = 20 if name.endswith("voc") else 80
    size = 608 if name == "yolov2" else 416
    if name != "yolov2" and stride:
        raise UserError(f"{name} is as published, but for its width; for a stride take yolov2")
    default = Description(architecture=name, classes=names_for(classes, num_classes, usual), input_size=(size, size), arguments=DEFAULTS)
    own = {"width": width, "widest": widest, "stride": stride}
    file = checkpoint if is_darknet(checkpoint) else ""
    begin = initial_weights(name, weights, "" if file else checkpoint, classes, num_classes, input_size, default=default, **own)
    network = filled(begin, _sections(name, begin), file)
    return wrapped(network, begin.name, begin.classes, threshold=threshold, operating_score=operating_score, nms_iou=nms_iou)


DEFAULTS = {"width": 0, "widest": 0, "stride": 32}
"""The paper's; a width of 0 is the paper's too."""


def _sections(name: str, begin: InitialWeights) -> tuple[Section, ...]:
    own, count = begin.arguments, len(begin.classes)
    side = square(begin.input_size, own["stride"], name)
    match name:
        case "yolov2":
            made = published_cfgs.version2(side, count, published_cfgs.COCO_ANCHORS_2, stride=own["stride"])
        case "yolov2-voc":
            made = published_cfgs.version2(side, count, published_cfgs.VOC_ANCHORS_2)
        case "yolov2-tiny":
            made = published_cfgs.version2_tiny(side, count, published_cfgs.COCO_ANCHORS_2, 512)
        case _:
            made = published_cfgs.version2_tiny(side, count, published_cfgs.VOC_ANCHORS_2_TINY, 1024)
    return published_cfgs.narrow(made, own["width"], own["widest"])


def square(size: tuple[int, int] | None, stride: int, name: str) -> int:
    """The side of a square that the stride divides; UserError for anything else."""
    if stride not in (8, 16, 32):
        raise UserError(f"{name} has cells of 32, 16 or 8 px, not {stride}")
    if size is None or size[0] != size[1] or size[0] % stride:
        raise UserError(f"{name} fits images into a square with a side that is a multiple of {stride}, not {size}; say input_size=416")
    return size[0]
