"""Fully convolutional networks on VGG-16. Long, Shelhamer, Darrell, CVPR 2015, https://arxiv.org/abs/1411.4038

A classifier's layers run over the whole image; its coarse scores are scaled up by transposed convolutions that begin as bilinear
interpolation. FCN-16s adds scores of the fourth pool before scaling up, FCN-8s those of the third too. The image is padded by 100 pixels so
that the 7x7 "fc6" fits, and every sum and the output are cropped to where the fields of view agree, by as much as in the authors' nets.
Deviation: the score layers begin with random numbers, theirs with zeros, since an untrained model here has to have a slope.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.segmenters import vgg
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

SMALLEST_WINDOW = 3
"""A smaller fc6 would ask for scores from outside the padded image."""


@model(
    task="segmentation",
    family="FCN",
    paper="arXiv:1411.4038",
    year=2014,
    source="own",
    reduced="width=4, hidden=8, window=3, num_classes=3",
    members={
        "fcn32s": {"parameters": 136_152_917},
        "fcn16s": {"parameters": 134_815_994},
        "fcn8s": {"parameters": 134_489_759},
    },
)
def fcn(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    hidden: NonNegativeInt = 0,
    window: NonNegativeInt = 0,
) -> Segmenter:
    """Fully convolutional VGG-16 for images of any size; the number in the name is the stride of its finest scores.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 21, as PASCAL VOC has). input_size: the side or 'WxH' to which images are scaled
    (default: what the weights were trained at, else as they are). width: maps at full resolution (default 64). hidden: maps of fc6 and fc7
    (default 4096). window: side of fc6, at least 3 (default 7).
    """
    default = Description(architecture=name, classes=Labels.numbered(21).names, arguments={"width": 64, "hidden": 4096, "window": 7})
    begin = initial_weights(
        name, weights, checkpoint, classes, num_classes, input_size, default=default, width=width, hidden=hidden, window=window
    )
    stride = int(name.removeprefix("fcn").removesuffix("s"))
    network = begin.make(lambda: FCN(len(begin.classes), stride, **begin.arguments))
    return segmenter(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class FCN(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W), any H and W. stride: 32, 16 or 8. dropout: share of fc6's and fc7's maps, in training only."""

    def __init__(self, classes: int, stride: int = 8, width: int = 64, hidden: int = 4096, window: int = 7, dropout: float = 0.5) -> None:
        super().__init__()
        if window < SMALLEST_WINDOW:
            raise UserError(f"fc6 with a window of {window} has no scores at the image's border; give window at least {SMALLEST_WINDOW}")
        self.stride, self.window = stride, window
        self.stages = vgg.stages(width, normed=False)
        first = self.stages[0][0]  # type: ignore[index]
        first.padding = (self.padding, self.padding)
        self.fc6 = nn.Conv2d(8 * width, hidden, window)
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.score = nn.Conv2d(hidden, classes, 1)
        self.score_pool4 = nn.Conv2d(8 * width, classes, 1) if stride <= 16 else None
        self.score_pool3 = nn.Conv2d(4 * width, classes, 1) if stride <= 8 else None
        vgg.draw(self)
        self.up_score = _up(classes, 2) if stride <= 16 else None
        self.up_pool4 = _up(classes, 2) if stride <= 8 else None
        self.up = _up(classes, stride)

    @property
    def padding(self) -> int:
        """Pixels around the image: 100 for a window of 7, 16 more or less for each pixel of the window, so that the crops stay."""
        return 16 * (self.window - 1) + 4

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every pixel."""
        height, width = x.shape[-2:]
        pools: list[Tensor] = []
        for stage in self.stages:
            x = F.max_pool2d(stage(x), 2, ceil_mode=True)
            pools.append(x)
        x = self.dropout(F.relu(self.fc6(x)))
        x = self.score(self.dropout(F.relu(self.fc7(x))))
        # Where each grid of scores lies on the next finer one; `window` = 7 gives the release's 5 and 9.
        if self.score_pool4 is not None and self.up_score is not None:
            x = _add(self.up_score(x), self.score_pool4(pools[3]), self.window - 2)
        if self.score_pool3 is not None and self.up_pool4 is not None:
            x = _add(self.up_pool4(x), self.score_pool3(pools[2]), 2 * self.window - 5)
        return _crop(self.up(x), OFFSETS[self.stride], height, width)


OFFSETS = {32: 19, 16: 27, 8: 31}
"""Pixels cropped from the top and the left of the scores at full resolution."""


def _add(coarse: Tensor, fine: Tensor, offset: int) -> Tensor:
    """Their sum where both are. With the paper's window the finer one always reaches farther; with a small one it may end first."""
    fine = fine[..., offset:, offset:]
    height, width = (min(sides) for sides in zip(coarse.shape[-2:], fine.shape[-2:], strict=True))
    return _crop(coarse, 0, height, width) + _crop(fine, 0, height, width)


def _crop(x: Tensor, offset: int, height: int, width: int) -> Tensor:
    return x[..., offset : offset + height, offset : offset + width]


def _up(classes: int, factor: int) -> nn.ConvTranspose2d:
    """A transposed convolution that begins as bilinear interpolation of each class by itself: kernel 2 x factor, no bias."""
    layer = nn.ConvTranspose2d(classes, classes, 2 * factor, stride=factor, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(classes), range(classes)] = bilinear(factor)
    return layer


def bilinear(factor: int) -> Tensor:
    """The kernel (2 factor, 2 factor) with which a transposed convolution of stride `factor` interpolates.

    >>> bilinear(1)
    tensor([[0.2500, 0.2500],
            [0.2500, 0.2500]])
    """
    distance = (torch.arange(2 * factor) + 0.5 - factor).abs()
    slope = 1 - distance / factor
    return slope[:, None] * slope[None, :]
