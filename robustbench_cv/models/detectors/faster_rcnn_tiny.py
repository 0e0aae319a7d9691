"""Backbones a few hundred kilobytes large for torchvision's detectors: what Scenes and a single core can train."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork

from robustbench_cv.errors import UserError
from robustbench_cv.models.weights.initial_weights import InitialWeights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of [0, 1] RGB, in all of torchvision's detectors."""


class Trunk(nn.Module):
    """(N, 3, H, W) -> maps by name: "0" at stride 4 with 2 `width` maps, "1" at stride 8 and "2" at stride 16 with 4 `width`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = conv(3, width, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(i, o, stride=2), conv(o, o)) for i, o in ((width, 2 * width), (2 * width, 4 * width), (4 * width, 4 * width))
        )

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """The three maps, the finest first."""
        x = self.stem(x)
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for name, stage in enumerate(self.stages):
            maps[str(name)] = x = stage(x)
        return maps


class Pyramid(nn.Module):
    """A trunk with a feature pyramid (Lin et al., CVPR 2017): `out_channels` maps at each of the strides 4, 8 and 16."""

    def __init__(self, width: int, out_channels: int) -> None:
        super().__init__()
        self.trunk = Trunk(width)
        self.fpn = FeaturePyramidNetwork([2 * width, 4 * width, 4 * width], out_channels)
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """The three maps, the finest first."""
        maps: OrderedDict[str, Tensor] = self.fpn(self.trunk(x))
        return maps


class Single(nn.Module):
    """A trunk of which one map is read, that of stride 8, as Faster R-CNN did before pyramids."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(width)
        self.trunk.stages = self.trunk.stages[:2]
        self.out_channels = 4 * width

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """One map, named "0"."""
        maps = self.trunk(x)
        return OrderedDict([("0", maps["1"])])


def conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch normalisation, ReLU."""
    layer = nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


def scaling(side: int, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> GeneralizedRCNNTransform:
    """The short side to `side` px, the long one to at most twice that, padded to the strides' multiple; then normalised."""
    return GeneralizedRCNNTransform(side, 2 * side, list(mean), list(std), size_divisible=16)


def side_of(begin: InitialWeights) -> int:
    """The short side that a detector scales images to. UserError where two numbers were given."""
    if begin.input_size is None or begin.input_size[0] != begin.input_size[1]:
        raise UserError(f"{begin.name} scales the short side of images and keeps their aspect: say input_size=96, not {begin.input_size}")
    return begin.input_size[0]
