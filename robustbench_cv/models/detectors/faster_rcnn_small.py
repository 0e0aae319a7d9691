"""Faster R-CNN of a size that Scenes trains. Ren, He, Girshick, Sun, NeurIPS 2015, https://arxiv.org/abs/1506.01497

torchvision's region proposal network, sampling, losses and post-processing around a backbone of seven convolutions. `faster-rcnn-small` is
the paper's design: one feature map, RoI pooling. `faster-rcnn-fpn-small` is its successor: a feature pyramid and RoIAlign.
"""

from __future__ import annotations

from typing import Any

from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.faster_rcnn_regions import Regions
from robustbench_cv.models.detectors.faster_rcnn_tiny import Pyramid, Single, scaling, side_of
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector, detector
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

RATIOS = (0.5, 1.0, 2.0)
SIDES = (10, 18, 32, 56)
"""Anchors in px, for images of 96 px."""
FEWER = {
    "rpn_pre_nms_top_n_train": 150,
    "rpn_pre_nms_top_n_test": 100,
    "rpn_post_nms_top_n_train": 100,
    "rpn_post_nms_top_n_test": 50,
    "rpn_batch_size_per_image": 64,
    "box_batch_size_per_image": 32,
    "box_detections_per_img": 50,
}
"""Images of 96 px hold few objects."""


@model(
    task="detection",
    family="Faster R-CNN",
    source="torchvision",
    reduced="input_size=64, num_classes=3",
    members={
        "faster-rcnn-small": {"paper": "arXiv:1506.01497", "year": 2015, "parameters": 269_301},
        "faster-rcnn-fpn-small": {"paper": "arXiv:1612.03144", "year": 2017, "parameters": 316_840},
    },
)
def faster_rcnn_small(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    threshold: Fraction = 0.01,
    operating_score: Fraction = 0.5,
) -> TorchvisionDetector:
    """A two-stage detector of a third of a million parameters.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 20). input_size: px to which the short side is scaled (default 96). width: maps at half
    the resolution (default 16). threshold: the least score decode keeps; operating_score: from where a box counts as reported.
    """
    default = Description(architecture=name, classes=Labels.numbered(20).names, input_size=(96, 96), arguments={"width": 16})
    begin = initial_weights(name, weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    build = with_pyramid if name == "faster-rcnn-fpn-small" else without_pyramid
    network: Any = begin.make(lambda: build(len(begin.classes), begin.arguments["width"], side_of(begin)))
    network.roi_heads.score_thresh = threshold
    return detector(network, begin.classes.names, begin.name, operating_score=operating_score)


def without_pyramid(classes: int, width: int = 16, side: int = 96) -> FasterRCNN:
    """One feature map of stride 8; twelve anchors a cell; RoI pooling to 6x6."""
    backbone = Single(width)
    anchors = AnchorGenerator((tuple(s * side / 96 for s in SIDES),), (RATIOS,))
    return build_network(backbone, classes, side, anchors, Regions("pool", ["0"], 6), 4 * width)


def with_pyramid(classes: int, width: int = 16, side: int = 96) -> FasterRCNN:
    """A pyramid of strides 4, 8 and 16; three anchors a cell; RoIAlign to 6x6."""
    backbone = Pyramid(width, 2 * width)
    return build_network(backbone, classes, side, pyramid_anchors(side), roi_align(side, 6), 6 * width)


def pyramid_anchors(side: int) -> AnchorGenerator:
    """One size a level, in proportion to the images."""
    return AnchorGenerator(tuple((s * side / 96,) for s in (12, 24, 48)), (RATIOS,) * 3)


def roi_align(side: int, bins: int) -> Regions:
    """RoIAlign over three levels, one sample a bin: a box of a third of the image's side is read at stride 8."""
    return Regions("align", ["0", "1", "2"], bins, side=side / 3, canonical=3, samples=1)


def build_network(
    backbone: Single | Pyramid, classes: int, side: int, anchors: AnchorGenerator, regions: Regions, hidden: int
) -> FasterRCNN:
    """torchvision's Faster R-CNN with fewer proposals: 100 in training, 50 at test; a head of two layers of `hidden` units."""
    inputs = backbone.out_channels * regions.output_size[0] ** 2
    network = FasterRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        box_head=TwoMLPHead(inputs, hidden),
        box_predictor=FastRCNNPredictor(hidden, classes + 1),
        **FEWER,
    )
    # The constructor takes no region operator but its own.
    network.roi_heads.box_roi_pool = regions
    network.transform = scaling(side)
    return network
