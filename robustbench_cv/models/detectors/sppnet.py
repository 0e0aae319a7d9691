"""SPP-net. He, Zhang, Ren, Sun, ECCV 2014, https://arxiv.org/abs/1406.4729

As R-CNN, but the convolutions see the image once: each proposal's window of the last maps is pooled by a spatial pyramid to one length.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.region_based.backbones import ZF5, Compact, hidden_layers
from robustbench_cv.models.detectors.region_based.box_coding import decode
from robustbench_cv.models.detectors.region_based.detector import BoxDetector, on_selective_search
from robustbench_cv.models.detectors.region_based.linear_svm import LinearScores
from robustbench_cv.models.detectors.region_based.roi_pooling import spatial_pyramid_pool
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="detection",
    family="R-CNN",
    paper="arXiv:1406.4729",
    year=2014,
    source="own",
    parameters=74_046_692,
    reduced="width=4, input_size=64, num_classes=3",
    jumps="the choice of proposals",
    extra="classical",
)
def sppnet(
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
    """SPP-net with ZF-5, a pyramid of 50 bins, fc6, fc7, a machine and a box regression a class, at one scale. Needs scikit-image.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 20). input_size: side of the square into which images are fitted with grey borders
    (default: what the weights were trained at, else 688, the paper's single scale, which it gives to the short side). width: maps of the
    first layer of a small network with batch normalisation and a stride of 4; 0, the default, is the paper's. threshold: the least score
    decode keeps, where 0.5 is a margin of 0; operating_score: from where a box counts as reported. Proposals are not differentiated.
    """
    default = Description(architecture="sppnet", classes=Labels.numbered(20).names, input_size=(688, 688), arguments={"width": 0})
    begin = initial_weights("sppnet", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    return on_selective_search(begin, SPPNet, threshold, nms_iou, operating_score)


class SPPNet(nn.Module):
    """Images (N, 3, H, W), normalised, and proposals (K, 4) px of each -> log scores (P, classes), boxes (P, classes, 4) px.

    width 0: ZF-5, pyramid 1, 2, 3, 6, two hidden layers of 4096. width > 0: `Compact`, pyramid 1, 2, 4, one hidden layer of 128.
    """

    def __init__(self, classes: int, width: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.levels = (1, 2, 4) if width else (1, 2, 3, 6)
        self.trunk = Compact(width) if width else ZF5()
        shown = self.trunk.maps * sum(level**2 for level in self.levels)
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
        """Of each proposal: the pyramid's values and the last hidden layer."""
        shown = spatial_pyramid_pool(self.trunk(images), proposals, self.levels, self.trunk.stride)
        return shown, self.hidden(shown)
