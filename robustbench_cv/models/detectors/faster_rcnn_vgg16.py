"""Faster R-CNN on VGG-16, as published. Ren, He, Girshick, Sun, NeurIPS 2015, https://arxiv.org/abs/1506.01497

Constants are those of the authors' Python code (py-faster-rcnn), not of torchvision: nine anchors a cell of stride 16, rounded to whole
pixels; a softmax of two scores an anchor; 6,000 proposals before suppression at 0.7 and 300 after, of at least 16 px; RoI pooling to 7x7;
suppression at 0.3. Deviations: matching, sampling and losses are torchvision's (the proposal loss is that of the difference of the two
scores, which is the same softmax; boxes' smooth L1 has torchvision's knee at 1/9 and 1 as the authors'); pixels are RGB in [0, 1], so that
the authors' Caffe weights need their first layer's channels reversed and its kernels scaled by 255.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.darknet.detector import names_for
from robustbench_cv.models.detectors.faster_rcnn_regions import Regions
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector, detector
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights

MEAN = (122.7717 / 255, 115.9465 / 255, 102.9801 / 255)
"""Of [0, 1] RGB; there is no division by a deviation."""


@model(
    task="detection",
    family="Faster R-CNN",
    paper="arXiv:1506.01497",
    year=2015,
    source="own",
    parameters=137_078_239,
    reduced="num_classes=3, input_size=96, width=8, hidden=16",
)
def faster_rcnn_vgg16(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    hidden: NonNegativeInt = 0,
    threshold: Fraction = 0.05,
    operating_score: Fraction = 0.5,
) -> TorchvisionDetector:
    """The VOC network: 13 convolutions of VGG-16, the region proposal network, RoI pooling, fc6 and fc7, two heads.

    checkpoint: a weights file. Without one, random parameters, the same every time. classes: "a,b,c" (default the 20 of VOC); num_classes
    where names are not known. input_size: px of the short side (default 600, the long one at most 1000). width: maps of the first
    convolutions (default 64), hidden: units of fc6 and fc7 (default 4096): the paper's. threshold: the least score decode keeps;
    operating_score: from where a box counts as reported.
    """
    names = names_for(classes, num_classes, 20)
    default = Description(architecture="faster-rcnn-vgg16", classes=names, input_size=(600, 600), arguments={"width": 64, "hidden": 4096})
    begin = initial_weights(
        "faster-rcnn-vgg16", weights, checkpoint, classes, num_classes, input_size, default=default, width=width, hidden=hidden
    )
    side = (begin.input_size or (600, 600))[0]
    network: Any = begin.make(lambda: published_network(len(begin.classes), side, begin.arguments["width"], begin.arguments["hidden"]))
    network.roi_heads.score_thresh = threshold
    return detector(network, begin.classes.names, begin.name, operating_score=operating_score)


def published_network(classes: int, side: int = 600, width: int = 64, hidden: int = 4096) -> FasterRCNN:
    """The whole network for images with a short side of `side` px."""
    maps = 8 * width
    network: Any = FasterRCNN(
        Convolutions(width),
        rpn_anchor_generator=rounded_anchors(),
        rpn_head=ProposalHead(maps, 9),
        rpn_pre_nms_top_n_train=12_000,
        rpn_pre_nms_top_n_test=6_000,
        rpn_post_nms_top_n_train=2_000,
        rpn_post_nms_top_n_test=300,
        box_head=Fc(maps * 49, hidden),
        box_predictor=FastRCNNPredictor(hidden, classes + 1),
        box_nms_thresh=0.3,
        box_batch_size_per_image=128,
    )
    network.rpn.min_size = 16.0
    network.roi_heads.box_roi_pool = Regions("pool", ["0"], 7)
    network.transform = GeneralizedRCNNTransform(side, side * 1000 // 600, list(MEAN), [1.0, 1.0, 1.0], size_divisible=16)
    return network


class Convolutions(nn.Module):
    """VGG-16 without its last pooling: (N, 3, H, W) -> 8 `width` maps of stride 16, named "0"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for size in (1, 1, 0, 2, 2, 0, 4, 4, 4, 0, 8, 8, 8, 0, 8, 8, 8):
            if size == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(inside, size * width, 3, padding=1), nn.ReLU(inplace=True)]
            inside = size * width
        self.features = nn.Sequential(*layers)
        self.out_channels = 8 * width
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias if layer.bias is not None else layer.weight.new_zeros(1))

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """One map."""
        return OrderedDict([("0", self.features(x))])


class ProposalHead(nn.Module):
    """3x3 convolution, then two scores and four offsets an anchor.

    The objectness is the difference of the scores, whose sigmoid is their softmax.
    """

    def __init__(self, maps: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(maps, maps, 3, padding=1)
        self.cls_score = nn.Conv2d(maps, 2 * anchors, 1)
        self.bbox_pred = nn.Conv2d(maps, 4 * anchors, 1)
        for layer in (self.conv, self.cls_score, self.bbox_pred):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, 0)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """(objectness (N, anchors, H, W), offsets (N, 4 anchors, H, W)) of each map. As in Caffe, all background scores come first."""
        hidden = [F.relu(self.conv(x)) for x in features]
        scores = [self.cls_score(h).chunk(2, dim=1) for h in hidden]
        return [thing - background for background, thing in scores], [self.bbox_pred(h) for h in hidden]


class Fc(nn.Module):
    """fc6 and fc7, dropout of a half after each in training."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.fc6, self.fc7 = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(K, C, 7, 7) -> (K, hidden)."""
        x = F.dropout(F.relu(self.fc6(x.flatten(1))), training=self.training)
        return F.dropout(F.relu(self.fc7(x)), training=self.training)


def rounded_anchors() -> AnchorGenerator:
    """Nine anchors about the middle of each cell of 16 px: ratios (height / width) 0.5, 1, 2 of whole pixels, each times 8, 16 and 32."""
    made = AnchorGenerator(((128, 256, 512),), ((0.5, 1.0, 2.0),))
    made.cell_anchors = [torch.tensor(base_anchors(), device="cpu")]
    return made


def base_anchors() -> list[tuple[float, float, float, float]]:
    """The nine at the first cell, xyxy with exclusive far edges; the authors' inclusive corners are one less there.

    >>> base_anchors()[0]
    (-84.0, -40.0, 100.0, 56.0)
    """
    anchors = []
    for ratio in (0.5, 1.0, 2.0):
        width = round((256 / ratio) ** 0.5)
        height = round(width * ratio)
        for scale in (8, 16, 32):
            w, h = width * scale / 2, height * scale / 2
            anchors.append((8 - w, 8 - h, 8 + w, 8 + h))
    return anchors
