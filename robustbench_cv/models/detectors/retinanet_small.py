"""RetinaNet of a size that Scenes trains. Lin, Goyal, Girshick, He, Dollár, ICCV 2017, https://arxiv.org/abs/1708.02002"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNetClassificationHead, RetinaNetHead, RetinaNetRegressionHead

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.faster_rcnn_small import RATIOS
from robustbench_cv.models.detectors.faster_rcnn_tiny import Pyramid, scaling, side_of
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector, detector
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="detection",
    family="RetinaNet",
    paper="arXiv:1708.02002",
    year=2017,
    source="torchvision",
    parameters=255_648,
    reduced="input_size=64, num_classes=3",
)
def retinanet_small(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    threshold: Fraction = 0.01,
    operating_score: Fraction = 0.3,
) -> TorchvisionDetector:
    """Focal loss on every anchor of three pyramid levels; two convolutions in each head stand for the paper's four.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 20). input_size: px to which the short side is scaled (default 96). width: maps at half
    the resolution (default 16). threshold: the least score decode keeps; operating_score: from where a box counts as reported.
    """
    default = Description(architecture="retinanet-small", classes=Labels.numbered(20).names, input_size=(96, 96), arguments={"width": 16})
    begin = initial_weights("retinanet-small", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    network = begin.make(lambda: one_stage(len(begin.classes), begin.arguments["width"], side_of(begin)))
    network.score_thresh = threshold
    return detector(network, begin.classes.names, begin.name, operating_score=operating_score)


def one_stage(classes: int, width: int = 16, side: int = 96) -> RetinaNet:
    """A pyramid of strides 4, 8 and 16 and six anchors a cell: three shapes, each also half an octave larger."""
    backbone = Pyramid(width, 2 * width)
    sizes = tuple((s * side / 96, s * side / 96 * 2**0.5) for s in (12, 24, 48))
    anchors = AnchorGenerator(sizes, (RATIOS,) * 3)
    network = RetinaNet(backbone, classes, anchor_generator=anchors, head=head(2 * width, 6, classes), detections_per_img=50)
    network.transform = scaling(side)
    network.topk_candidates = 200
    return network


def head(maps: int, anchors: int, classes: int) -> RetinaNetHead:
    """torchvision's heads, cut to two convolutions each, with batch normalisation."""
    norm = partial(nn.BatchNorm2d)
    made = RetinaNetHead(maps, anchors, classes, norm_layer=norm)
    for part in (made.classification_head, made.regression_head):
        assert isinstance(part, RetinaNetClassificationHead | RetinaNetRegressionHead)
        part.conv = part.conv[:2]
    return made
