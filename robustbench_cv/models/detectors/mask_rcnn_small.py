"""Mask R-CNN of a size that Scenes trains. He, Gkioxari, Dollár, Girshick, ICCV 2017, https://arxiv.org/abs/1703.06870"""

from __future__ import annotations

from typing import Any

from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.faster_rcnn_small import FEWER, pyramid_anchors, roi_align
from robustbench_cv.models.detectors.faster_rcnn_tiny import Pyramid, scaling, side_of
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector, detector
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="detection",
    family="Mask R-CNN",
    paper="arXiv:1703.06870",
    year=2017,
    source="torchvision",
    parameters=340_157,
    reduced="input_size=64, num_classes=3",
)
def mask_rcnn_small(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    threshold: Fraction = 0.01,
    operating_score: Fraction = 0.5,
) -> TorchvisionDetector:
    """faster-rcnn-fpn-small with a mask of 20x20 for every detection; two convolutions stand for the paper's four.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 20). input_size: px to which the short side is scaled (default 96). width: maps at half
    the resolution (default 16). threshold: the least score decode keeps; operating_score: from where a box counts as reported.
    """
    default = Description(architecture="mask-rcnn-small", classes=Labels.numbered(20).names, input_size=(96, 96), arguments={"width": 16})
    begin = initial_weights("mask-rcnn-small", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    network: Any = begin.make(lambda: with_masks(len(begin.classes), begin.arguments["width"], side_of(begin)))
    network.roi_heads.score_thresh = threshold
    return detector(network, begin.classes.names, begin.name, operating_score=operating_score)


def with_masks(classes: int, width: int = 16, side: int = 96) -> MaskRCNN:
    """A pyramid of strides 4, 8 and 16; RoIAlign to 6x6 for boxes and to 10x10 for masks."""
    backbone, maps = Pyramid(width, 2 * width), 2 * width
    network = MaskRCNN(
        backbone,
        rpn_anchor_generator=pyramid_anchors(side),
        box_head=TwoMLPHead(maps * 36, 6 * width),
        box_predictor=FastRCNNPredictor(6 * width, classes + 1),
        mask_head=MaskRCNNHeads(maps, (maps, maps), 1),
        mask_predictor=MaskRCNNPredictor(maps, maps, classes + 1),
        **FEWER,
    )
    # The constructor takes no region operator but its own.
    network.roi_heads.box_roi_pool = roi_align(side, 6)
    network.roi_heads.mask_roi_pool = roi_align(side, 10)
    network.transform = scaling(side)
    return network
