"""R-CNN. Girshick, Donahue, Darrell, Malik, CVPR 2014, https://arxiv.org/abs/1311.2524

Selective search proposes regions; each is warped to a square and goes through a classifier's layers on its own; linear support vector
machines on the last hidden layer judge it, ridge regressions on the last maps place its box.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.region_based.backbones import AlexNet, Compact, hidden_layers
from robustbench_cv.models.detectors.region_based.box_coding import decode
from robustbench_cv.models.detectors.region_based.detector import BoxDetector, on_selective_search
from robustbench_cv.models.detectors.region_based.linear_svm import LinearScores
from robustbench_cv.models.detectors.region_based.roi_pooling import warp_regions
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="detection",
    family="R-CNN",
    paper="arXiv:1311.2524",
    year=2013,
    source="own",
    parameters=57_687_524,
    reduced="width=4, input_size=64, num_classes=3",
    jumps="the choice of proposals",
    extra="classical",
)
def rcnn(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    threshold: Fraction = 0.25,
    operating_score: Fraction = 0.5,
    nms_iou: Fraction = 0.3,
) -> BoxDetector:
    """R-CNN with AlexNet (two groups, response normalisation) up to fc7, a machine and a box regression a class. Needs scikit-image.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 20). input_size: side of the square into which images are fitted with grey borders before
    regions are proposed (default: what the weights were trained at, else 500). width: maps of the first layer of a small network
    with batch normalisation, on crops of 32 px; 0, the default, is the paper's. threshold: the least score decode keeps, where 0.5 is a
    margin of 0; operating_score: from where a box counts as reported. Proposals are not differentiated.
    """
    default = Description(architecture="rcnn", classes=Labels.numbered(20).names, input_size=(500, 500), arguments={"width": 0})
    begin = initial_weights("rcnn", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    return on_selective_search(begin, RCNN, threshold, nms_iou, operating_score)


class RCNN(nn.Module):
    """Images (N, 3, H, W), normalised, and proposals (K, 4) px of each -> log scores (P, classes), boxes (P, classes, 4) px.

    width 0: AlexNet on crops of 227 px with 16 px of context, features of fc7, boxes corrected from pool5. width > 0: `Compact` on crops
    of 32 px with 2 px of context, pooled to 4x4, one hidden layer of 128 units.
    """

    def __init__(self, classes: int, width: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.side, self.context = (32, 2) if width else (227, 16)
        cells = 4 if width else 6
        self.trunk = Compact(width) if width else AlexNet()
        self.pool = nn.AdaptiveMaxPool2d(cells) if width else nn.Identity()
        shown = self.trunk.maps * cells * cells
        units = (128,) if width else (4096, 4096)
        self.hidden = hidden_layers(shown, *units)
        self.scores = LinearScores(units[-1], classes)
        self.corrections = nn.Linear(shown, 4 * classes)

    def forward(self, images: Tensor, proposals: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Differentiable in the images."""
        shown, features = self.features(images, proposals)
        boxes = decode(torch.cat(proposals)[:, None], self.corrections(shown).unflatten(1, (self.classes, 4)))
        return self.scores(features), boxes

    def features(self, images: Tensor, proposals: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Of each proposal: the last maps, flat, and the last hidden layer."""
        shown = self.pool(self.trunk(warp_regions(images, proposals, self.side, self.context))).flatten(1)
        return shown, self.hidden(shown)
