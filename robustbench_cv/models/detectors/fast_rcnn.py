"""Fast R-CNN. Girshick, ICCV 2015, https://arxiv.org/abs/1504.08083

One pass of the convolutions over the image, RoI pooling of each proposal of selective search, two hidden layers, and two heads trained
together: softmax over the classes and background, and a box correction for each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.region_based.backbones import VGG16, Compact, hidden_layers
from robustbench_cv.models.detectors.region_based.box_coding import decode
from robustbench_cv.models.detectors.region_based.detector import BoxDetector, on_selective_search
from robustbench_cv.models.detectors.region_based.roi_pooling import roi_max_pool
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
"""Of the box corrections: the network predicts them divided by these."""


@model(
    task="detection",
    family="R-CNN",
    paper="arXiv:1504.08083",
    year=2015,
    source="own",
    parameters=134_690_729,
    reduced="width=4, input_size=64, num_classes=3",
    jumps="the choice of proposals",
    extra="classical",
)
def fast_rcnn(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    threshold: Fraction = 0.01,
    operating_score: Fraction = 0.5,
    nms_iou: Fraction = 0.3,
) -> BoxDetector:
    """Fast R-CNN with VGG-16 and proposals of selective search. Needs scikit-image.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 20). input_size: side of the square into which images are fitted with grey borders
    (default: what the weights were trained at, else 1000, the paper's longest side). width: maps of the first layer of a small network with
    batch normalisation and a stride of 4; 0, the default, is the paper's. threshold: the least score decode keeps; operating_score: from
    where a box counts as reported. Proposals are not differentiated.
    """
    default = Description(architecture="fast-rcnn", classes=Labels.numbered(20).names, input_size=(1000, 1000), arguments={"width": 0})
    begin = initial_weights("fast-rcnn", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    return on_selective_search(begin, FastRCNN, threshold, nms_iou, operating_score)


class FastRCNN(nn.Module):
    """Images (N, 3, H, W), normalised, and proposals (K, 4) px of each -> log scores (P, classes), boxes (P, classes, 4) px.

    width 0: VGG-16, 7x7 bins, two hidden layers of 4096. width > 0: `Compact`, 4x4 bins, one hidden layer of 128. Index 0 of the heads is
    the background. No dropout.
    """

    def __init__(self, classes: int, width: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.bins = 4 if width else 7
        self.trunk = Compact(width) if width else VGG16()
        units = (128,) if width else (4096, 4096)
        self.hidden = hidden_layers(self.trunk.maps * self.bins**2, *units)
        self.kinds = nn.Linear(units[-1], classes + 1)
        self.corrections = nn.Linear(units[-1], 4 * (classes + 1))

    def forward(self, images: Tensor, proposals: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Differentiable in the images."""
        kinds, deltas = self.heads(images, proposals)
        boxes = decode(torch.cat(proposals)[:, None], deltas[:, 1:] * deltas.new_tensor(DEVIATIONS))
        return kinds.log_softmax(1)[:, 1:], boxes

    def heads(self, images: Tensor, proposals: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores (P, 1 + classes) before softmax and corrections (P, 1 + classes, 4) in units of DEVIATIONS."""
        pooled = roi_max_pool(self.trunk(images), proposals, self.bins, self.trunk.stride)
        features = self.hidden(pooled.flatten(1))
        return self.kinds(features), self.corrections(features).unflatten(1, (1 + self.classes, 4))
