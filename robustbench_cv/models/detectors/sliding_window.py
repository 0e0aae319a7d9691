"""Detection by sliding windows: a small classifier looks at every place, at several scales and shapes; suppression keeps the best.

Vaillant, Monrocq, LeCun, "Original approach for the localisation of objects in images", IEE Proc. Vision 141(4), 1994: the classifier's
convolutions run over the whole image of each scale at once, which gives what it would say of every window cut out (no padding anywhere).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.region_based.detector import BoxDetector, box_detector
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.models.preprocessing import Preprocessing, scale
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Candidates, Labels

WINDOW, STRIDE = 32, 8
"""Side of the classifier's input and distance between windows, px of the scaled image."""
SHAPES = (0.5, 1.0, 2.0)
"""Widths of the windows by their heights."""
SMALLEST, SCALES = 1 / 6, 5
"""Side of the smallest window by the image's side, and how many sizes, each larger by the root of two. Project choice."""


@model(
    task="detection",
    family="sliding window",
    paper="doi:10.1049/ip-vis:19941301",
    year=1994,
    source="own",
    parameters=60_197,
    reduced="width=4, input_size=64, num_classes=3",
)
def sliding_window(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    threshold: Fraction = 0.02,
    operating_score: Fraction = 0.5,
    nms_iou: Fraction = 0.3,
) -> BoxDetector:
    """A classifier of 32x32 windows with a class for the background, over five sizes and three shapes of windows. Boxes are not corrected.

    Deviations from 1994: colour, max-pooling, batch normalisation, ReLU, many classes; the paper's network saw windows of 20 px.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 20). input_size: side of the square into which images are fitted with grey borders
    (default: what the weights were trained at, else 96). width: maps of the first layer (default 16). threshold: the least score decode
    keeps; operating_score: from where a box counts as reported.
    """
    default = Description(architecture="sliding-window", classes=Labels.numbered(20).names, input_size=(96, 96), arguments={"width": 16})
    begin = initial_weights("sliding-window", weights, checkpoint, classes, num_classes, input_size, default=default, width=width)
    network = begin.make(lambda: WindowClassifier(len(begin.classes), begin.arguments["width"]))
    return box_detector(Sliding(network, Preprocessing(begin.mean, begin.std)), begin, threshold, nms_iou, operating_score)


class WindowClassifier(nn.Module):
    """(N, 3, H, W) -> (N, 1 + classes, (H - 32) // 8 + 1, (W - 32) // 8 + 1): scores before softmax of each window, background first."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        w = width
        self.layers = nn.Sequential(
            *_conv_norm(3, w, 5), nn.MaxPool2d(2), *_conv_norm(w, 2 * w, 3), nn.MaxPool2d(2), *_conv_norm(2 * w, 4 * w, 3), nn.MaxPool2d(2),
            *_conv_norm(4 * w, 8 * w, 2), nn.Conv2d(8 * w, classes + 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Differentiable."""
        scores: Tensor = self.layers(x)
        return scores


def _conv_norm(inside: int, outside: int, side: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(inside, outside, side, bias=False), nn.BatchNorm2d(outside), nn.ReLU()


class Sliding(nn.Module):
    """The classifier over all sizes and shapes of windows."""

    def __init__(self, net: WindowClassifier, prepare: Preprocessing) -> None:
        super().__init__()
        self.net, self.prepare = net, prepare

    def forward(self, squares: Tensor, frame: Letterbox) -> Candidates:
        """A candidate a window; those that see only border are not valid."""
        x = self.prepare(squares)
        window_scores = [self.net(scale(x, size)).flatten(2).movedim(1, 2) for size in scaled_sizes(frame.side)]
        boxes = windows(frame.side).to(squares.device)
        log_score = torch.cat(window_scores, dim=1).log_softmax(2)[..., 1:]
        return Candidates(boxes[None, :, None].expand(len(squares), -1, 1, 4), log_score, frame.touched(boxes).expand(len(squares), -1))


def scaled_sizes(side: int) -> list[tuple[int, int]]:
    """(h, w) to which a square is scaled so that windows of each size and shape become 32x32; those larger than the square left out."""
    sizes = []
    for step in range(SCALES):
        for shape in SHAPES:
            factor = WINDOW / (side * SMALLEST * math.sqrt(2) ** step)
            sizes.append((round(side * factor * math.sqrt(shape)), round(side * factor / math.sqrt(shape))))
    return [size for size in sizes if min(size) >= WINDOW]


def windows(side: int) -> Tensor:
    """Every window's box (K, 4) in px of the square, in the order of the classifier's outputs."""
    boxes = []
    for height, width in scaled_sizes(side):
        down, across = (torch.arange((length - WINDOW) // STRIDE + 1) * STRIDE for length in (height, width))
        y, x = torch.meshgrid(down, across, indexing="ij")
        corners = torch.stack([x, y, x + WINDOW, y + WINDOW], dim=-1).flatten(0, 1)
        boxes.append(corners * torch.tensor([side / width, side / height] * 2))
    return torch.cat(boxes)
