"""YOLO, the first version. Redmon, Divvala, Girshick, Farhadi, CVPR 2016, https://arxiv.org/abs/1506.02640

A grid of cells, each with two boxes and one set of class scores, from one vector of linear outputs. The order of that vector is
Darknet's (all classes, all confidences, all boxes). Deviation: images are scaled with antialiasing.
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
    paper="arXiv:1506.02640",
    year=2015,
    source="own",
    reduced="num_classes=3, width=4, hidden=16, stride=16, batch_norm=1, input_size=64",
    members={
        "yolov1": {"parameters": 271_703_550},
        "yolov1-darknet": {"parameters": 197_301_875, "reduced": "num_classes=3, width=4, input_size=64"},
        "yolov1-tiny": {"parameters": 27_095_374, "reduced": "num_classes=3, width=4, input_size=64"},
    },
)
def yolov1(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    widest: NonNegativeInt = 0,
    hidden: NonNegativeInt = 0,
    stride: NonNegativeInt = 0,
    batch_norm: NonNegativeInt = 0,
    threshold: Fraction = 0.005,
    operating_score: Fraction = 0.2,
    nms_iou: Fraction = 0.5,
) -> DarknetDetector:
    """Version 1: the paper's network, and those of Darknet's published files (yolov1-darknet, yolov1-tiny), which differ from it.

    weights: a bundled tag ("scenes"). checkpoint: a weights file, or a Darknet file (.weights). With neither, random parameters, the same
    every time. classes: "a,b,c"; num_classes where names are not known (default: VOC's 20). input_size: side to which images are
    stretched, a multiple of the stride (default 448). width: maps of the first layer (64, and 16 in yolov1-tiny), from which all others
    follow; widest: a bound on them. For yolov1 alone: hidden, units of the connected layer (4096); stride, px of a cell's side (64; 32, 16
    and 8 leave out some of the six halvings); batch_norm=1 adds batch normalisation, which the paper's network has not and Darknet's has.
    """
    own = {"hidden": hidden, "stride": stride, "batch_norm": batch_norm}
    if name != "yolov1" and any(own.values()):
        raise UserError(f"{name} is as published, but for its width; for {', '.join(k for k, v in own.items() if v)} take yolov1")
    default = Description(architecture=name, classes=names_for(classes, num_classes, 20), input_size=(448, 448), arguments=DEFAULTS)
    own |= {"width": width, "widest": widest}
    file = checkpoint if is_darknet(checkpoint) else ""
    begin = initial_weights(name, weights, "" if file else checkpoint, classes, num_classes, input_size, default=default, **own)
    network = filled(begin, _sections(name, begin), file)
    return wrapped(network, begin.name, begin.classes, threshold=threshold, operating_score=operating_score, nms_iou=nms_iou)


DEFAULTS = {"width": 0, "widest": 0, "hidden": 4096, "stride": 64, "batch_norm": 0}
"""The paper's; a width of 0 is the paper's too."""


def _sections(name: str, begin: InitialWeights) -> tuple[Section, ...]:
    own, count = begin.arguments, len(begin.classes)
    side = square(begin.input_size, own["stride"], name)
    if name == "yolov1":
        made = published_cfgs.version1(side, count, hidden=own["hidden"], stride=own["stride"], norm=bool(own["batch_norm"]))
    else:
        made = published_cfgs.version1_shipped(side, count) if name == "yolov1-darknet" else published_cfgs.version1_tiny(side, count)
    return published_cfgs.narrow(made, own["width"], own["widest"])


def square(size: tuple[int, int] | None, stride: int, name: str) -> int:
    """The side of a square that the stride divides; UserError for anything else."""
    if stride not in (8, 16, 32, 64):
        raise UserError(f"{name} has cells of 64, 32, 16 or 8 px, not {stride}")
    if size is None or size[0] != size[1] or size[0] % stride:
        raise UserError(f"{name} takes a square with a side that is a multiple of {stride}, not {size}; say input_size={stride * 7}")
    return size[0]
