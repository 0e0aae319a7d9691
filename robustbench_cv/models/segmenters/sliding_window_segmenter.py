"""A window around each pixel, classified by a small network. Ciresan, Giusti, Gambardella, Schmidhuber, NIPS 2012 (network N4).

The oldest way to label pixels with a deep network. The same scores come from one pass over the whole image, in which pools have stride 1
and every later kernel is dilated instead (Giusti et al., ICIP 2013, https://arxiv.org/abs/1302.1700, share the work another way). As in the
paper, windows that reach over the border see the image mirrored there. Deviations: colour, ReLU, and no foveation of the windows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.segmenters import vgg
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

SIDES = (4, 5, 4, 4)
"""Kernels of the convolutions, each followed by a 2x2 pool."""
LAST = 3
"""Side of the map that is left of a window: the first fully connected layer's kernel."""


@model(
    task="segmentation",
    family="sliding window",
    paper="https://papers.nips.cc/paper/2012/hash/459a4ddcb586f24efd9395aa7662bc7c-Abstract.html",
    year=2012,
    source="own",
    parameters=220_826,
    reduced="width=4, hidden=8, num_classes=3",
)
def sliding_window_segmenter(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    hidden: NonNegativeInt = 0,
    *,
    windows: bool = False,
) -> Segmenter:
    """The class of each pixel from the 95x95 window around it, for images of any size.

    weights: a bundled tag. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c"; num_classes
    where names are not known (default 2, membrane or not). input_size: the side or 'WxH' to which images are scaled (default: what the
    weights were trained at, else as they are). width: maps of each convolution (default 48). hidden: units of the first fully connected
    layer (default 200). windows: cut out and classify every window by itself, as the paper did: the same scores for far more work.
    """
    name = "sliding-window-segmenter"
    default = Description(architecture=name, classes=Labels.numbered(2).names, arguments={"width": 48, "hidden": 200})
    begin = initial_weights(name, weights, checkpoint, classes, num_classes, input_size, default=default, width=width, hidden=hidden)
    network = begin.make(lambda: SlidingWindow(len(begin.classes), windows=windows, **begin.arguments))
    return segmenter(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class PatchClassifier(nn.Module):
    """(N, 3, 95, 95) -> (N, classes, 1, 1); on larger images, `dense` gives the scores of the window at every pixel."""

    def __init__(self, classes: int, width: int = 48, hidden: int = 200) -> None:
        super().__init__()
        inside = [3, *[width] * (len(SIDES) - 1)]
        self.convs = nn.ModuleList(nn.Conv2d(i, width, side) for i, side in zip(inside, SIDES, strict=True))
        self.hidden = nn.Conv2d(width, hidden, LAST)
        self.score = nn.Conv2d(hidden, classes, 1)
        vgg.draw(self)

    @property
    def window(self) -> int:
        """Side in px of what one score depends on: 95.

        >>> PatchClassifier(2, 1, 1).window
        95
        """
        side = LAST
        for kernel in reversed(SIDES):
            side = 2 * side + kernel - 1
        return side

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of windows."""
        for conv in self.convs:
            x = F.max_pool2d(F.relu(conv(x)), 2)
        scores: Tensor = self.score(F.relu(self.hidden(x)))
        return scores

    def dense(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes, H - 94, W - 94): what `forward` says of each window, in one pass."""
        gap = 1
        for conv in self.convs:
            x = F.relu(F.conv2d(x, conv.weight, conv.bias, dilation=gap))  # type: ignore[arg-type]
            x = F.max_pool2d(x, 2, stride=1, dilation=gap)
            gap *= 2
        x = F.relu(F.conv2d(x, self.hidden.weight, self.hidden.bias, dilation=gap))
        scores: Tensor = self.score(x)
        return scores


class SlidingWindow(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W), any H and W. windows: one by one instead of in one pass."""

    def __init__(self, classes: int, width: int = 48, hidden: int = 200, *, windows: bool = False) -> None:
        super().__init__()
        self.patch = PatchClassifier(classes, width, hidden)
        self.windows = windows

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every pixel."""
        side = self.patch.window
        x = mirror_border(mirror_border(x, side // 2, -2), side // 2, -1)
        if not self.windows:
            return self.patch.dense(x)
        cut = x.unfold(2, side, 1).unfold(3, side, 1)  # (N, 3, H, W, side, side), a view
        rows = [torch.cat([self.patch(at) for at in row.unbind(2)], dim=3) for row in cut.unbind(2)]
        return torch.cat(rows, dim=2)


def mirror_border(x: Tensor, margin: int, axis: int) -> Tensor:
    """`margin` more pixels at both ends of an axis, the image reflected about its border pixels as often as it takes.

    >>> mirror_border(torch.tensor([0, 1, 2]), 4, 0).tolist()
    [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]
    """
    length = x.shape[axis]
    period = max(1, 2 * (length - 1))
    places = torch.arange(-margin, length + margin, device=x.device) % period
    return x.index_select(axis, torch.minimum(places, period - places) if length > 1 else places)
