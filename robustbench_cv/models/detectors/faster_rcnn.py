"""Faster R-CNN on a ResNet-50. Ren, He, Girshick, Sun, NeurIPS 2015, https://arxiv.org/abs/1506.01497

With a feature pyramid (Lin et al., CVPR 2017, https://arxiv.org/abs/1612.03144) it is torchvision's own. Without the pyramid it is the "C4"
network of He et al., CVPR 2016, https://arxiv.org/abs/1512.03385: proposals and regions from the fourth stage, stride 16, the fifth stage
run on every region.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.detection import FasterRCNN, fasterrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor

from robustbench_cv.arguments import ClassCount, Fraction, PositiveInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.detectors.faster_rcnn_library import from_torchvision
from robustbench_cv.models.detectors.faster_rcnn_regions import OPERATORS, Regions
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector, detector

LEVELS = ("0", "1", "2", "3")
"""The pyramid's maps that regions are read from, strides 4 to 32."""


@model(
    task="detection",
    family="Faster R-CNN",
    paper="arXiv:1506.01497",
    year=2015,
    source="torchvision",
    parameters=41_808_406,
    reduced="num_classes=4, min_size=64, max_size=96, score_thresh=0.001, detections_per_img=20",
)
def faster_rcnn(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    roi: str = "align",
    fpn: bool = True,
    min_size: PositiveInt = 800,
    max_size: PositiveInt = 1333,
    score_thresh: Fraction = 0.05,
    detections_per_img: PositiveInt = 100,
) -> TorchvisionDetector:
    """ResNet-50 Faster R-CNN, with a choice of how regions are cut out, and with or without a pyramid.

    weights: torchvision's own ("DEFAULT", "COCO_V1"), of roi="align" with a pyramid. checkpoint: a weights file. With neither, random
    parameters, the same every time. classes: "a,b,c". num_classes counts the background, as torchvision does (default 91, COCO's numbers).
    roi: "align", "pool", "warp" or "crop" (see faster_rcnn_regions); operators have no weights, so that one checkpoint serves all four.
    fpn=False is the C4 network. min_size, max_size: px of the short side and at most of the long one. UserError for other operators.
    """
    if roi not in OPERATORS:
        raise UserError(f"no region operator {roi!r}; choose one of {', '.join(OPERATORS)}")
    settings = {"min_size": min_size, "max_size": max_size, "score_thresh": score_thresh, "detections_per_img": detections_per_img}
    if fpn and roi == "align":
        return from_torchvision("faster-rcnn", "fasterrcnn_resnet50_fpn", weights, checkpoint, classes, num_classes, **settings)
    if weights:
        raise UserError(f"published weights {weights!r} are of roi='align' with a pyramid; give a checkpoint for roi={roi!r}, fpn={fpn}")
    names = class_names(classes) if classes else None
    count = num_classes or (len(names) + 1 if names else 91)
    design = f"faster-rcnn(roi={roi!r}, fpn={fpn})"
    network: Any = build_seeded(lambda: with_fpn(count, roi) if fpn else c4(count, roi))
    network.transform.min_size, network.transform.max_size = (min_size,), max_size
    network.roi_heads.score_thresh, network.roi_heads.detections_per_img = score_thresh, detections_per_img
    if checkpoint:
        load_checkpoint(network, checkpoint, design)
    return detector(network, names, design if checkpoint else f"{design} (random weights)", f"roi={roi}")


def build_seeded(build: Callable[[], FasterRCNN]) -> FasterRCNN:
    """Random parameters, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def with_fpn(outputs: int, roi: str) -> FasterRCNN:
    """torchvision's network with another region operator; its tensors have the same names."""
    network: FasterRCNN = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=outputs)
    network.roi_heads.box_roi_pool = Regions(roi, LEVELS, 7)
    return network


def c4(outputs: int, roi: str) -> FasterRCNN:
    """15 anchors a cell of the fourth stage; regions of 14x14 cells run through the fifth, then the average. Norms are not frozen."""
    network = resnet50(weights=None)
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),), ((0.5, 1.0, 2.0),))
    head = nn.Sequential(network.layer4, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    predictor = FastRCNNPredictor(2048, outputs)
    made: Any = FasterRCNN(Stages(network), rpn_anchor_generator=anchors, box_head=head, box_predictor=predictor)
    made.rpn._pre_nms_top_n["testing"] = 6000
    made.roi_heads.box_roi_pool = Regions(roi, ["0"], 14)
    finished: FasterRCNN = made
    return finished


class Stages(nn.Module):
    """A ResNet up to its fourth stage: (N, 3, H, W) -> 1024 maps of stride 16, named "0"."""

    out_channels = 1024

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        parts = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
        self.body = nn.Sequential(OrderedDict((name, network.get_submodule(name)) for name in parts))

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """One map."""
        return OrderedDict([("0", self.body(x))])
