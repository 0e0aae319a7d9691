"""Localisation as regression: one object, its class and its box from one network.

Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat", ICLR 2014, section 4, https://arxiv.org/abs/1312.6229
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.region_based.backbones import Compact, OverFeat, hidden_layers
from robustbench_cv.models.detectors.region_based.box_coding import decode, encode
from robustbench_cv.models.detectors.region_based.detector import BoxDetector, box_detector
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.models.preprocessing import Preprocessing
from robustbench_cv.models.trainable import Objects
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Candidates, Labels


@model(
    task="detection",
    family="OverFeat",
    paper="arXiv:1312.6229",
    year=2013,
    source="own",
    parameters=301_119_340,
    reduced="width=4, input_size=64, num_classes=3",
)
def localisation_regression(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    threshold: Fraction = 0.005,
    operating_score: Fraction = 0.25,
    nms_iou: Fraction = 0.5,
) -> BoxDetector:
    """A class head and a box head on the layers of OverFeat's fast network: one box an image, whatever it shows.

    Deviations: one view at one scale, where the paper joins the boxes of many; one box for all classes, which the paper found as good.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 1000). input_size: side of the square into which images are fitted with grey borders
    (default: what the weights were trained at, else 231). width: maps of the first layer of a small network with batch normalisation; 0,
    the default, is the paper's. threshold: the least score decode keeps; operating_score: from where a box counts as reported.
    """
    default = Description(
        architecture="localisation-regression", classes=Labels.numbered(1000).names, input_size=(231, 231), arguments={"width": 0}
    )
    begin = initial_weights("localisation-regression", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    network = begin.make(lambda: LocalisationRegression(len(begin.classes), begin.arguments["width"]))
    return box_detector(OneBox(network, Preprocessing(begin.mean, begin.std)), begin, threshold, nms_iou, operating_score)


class LocalisationRegression(nn.Module):
    """Squares (N, 3, s, s), normalised -> class scores (N, classes) before softmax, box (N, 4) as a correction of the whole square."""

    def __init__(self, classes: int, width: int = 0) -> None:
        super().__init__()
        self.trunk = Compact(width) if width else OverFeat()
        cells = 4 if width else 6
        self.pool = nn.AdaptiveMaxPool2d(cells)
        shown = self.trunk.maps * cells * cells
        units, places = ((128,), (128,)) if width else ((3072, 4096), (4096, 1024))
        self.kinds = nn.Sequential(*hidden_layers(shown, *units), nn.Linear(units[-1], classes))
        self.place = nn.Sequential(*hidden_layers(shown, *places), nn.Linear(places[-1], 4))

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        """Differentiable."""
        shown = self.pool(self.trunk(squares)).flatten(1)
        return self.kinds(shown), self.place(shown)


class OneBox(nn.Module):
    """The network's answer as a single candidate."""

    def __init__(self, net: LocalisationRegression, prepare: Preprocessing) -> None:
        super().__init__()
        self.net, self.prepare = net, prepare

    def forward(self, squares: Tensor, frame: Letterbox) -> Candidates:
        """Candidates with K = B = 1, always valid."""
        kinds, place = self.net(self.prepare(squares))
        whole = squares.new_tensor([0, 0, frame.side, frame.side])
        box = decode(whole.expand(len(squares), 4), place)
        return Candidates(box[:, None, None], kinds.log_softmax(1)[:, None], torch.ones_like(kinds[:, :1], dtype=torch.bool))

    def loss(self, images: Tensor, objects: Sequence[Objects], /) -> Tensor:
        """Of the largest object of each square."""
        return one_box_loss(self.net, self.prepare(images), objects)


def one_box_loss(network: nn.Module, images: Tensor, objects: Sequence[Objects]) -> Tensor:
    """Cross-entropy of the largest object's class plus 5 times smooth L1 of its box as a correction of the square; 0 without one.

    network: normalised images (N, 3, s, s) -> class scores (N, C) and corrections (N, 4).
    """
    areas = [(o.boxes[:, 2] - o.boxes[:, 0]) * (o.boxes[:, 3] - o.boxes[:, 1]) for o in objects]
    shown = [i for i, area in enumerate(areas) if len(area) and float(area.max()) > 0]
    kinds, place = (t.float()[shown] for t in network(images))
    if not shown:
        nothing: Tensor = (kinds.sum() + place.sum()) * 0
        return nothing
    boxes = torch.stack([objects[i].boxes[areas[i].argmax()] for i in shown])
    labels = torch.stack([objects[i].labels[areas[i].argmax()] for i in shown])
    whole = boxes.new_tensor([0, 0, images.shape[-1], images.shape[-2]]).expand(len(boxes), 4)
    wrong = F.smooth_l1_loss(place, encode(whole, boxes), reduction="sum", beta=0.1)
    return (F.cross_entropy(kinds, labels, reduction="sum") + 5 * wrong) / len(boxes)
