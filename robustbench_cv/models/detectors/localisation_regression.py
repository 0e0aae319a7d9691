"""Localisation as regression: one object, its class and its box from one network.

Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat", ICLR 2014, section 4, https://arxiv.org/abs/1312.6229
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_cv.arguments import Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.region_based.backbones import Compact, OverFeat, hidden
from robustbench_cv.models.detectors.region_based.box_coding import decode
from robustbench_cv.models.detectors.region_based.detector import BoxDetector, box_detector
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.models.preprocessing import Preprocessing
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
    num_classes: NonNegativeInt = 0,
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
    default = Description("localisation-regression", Labels.numbered(1000).names, (231, 231), arguments={"width": 0})
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
        self.kinds = nn.Sequential(*hidden(shown, *units), nn.Linear(units[-1], classes))
        self.place = nn.Sequential(*hidden(shown, *places), nn.Linear(places[-1], 4))

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
