"""A Darknet-like body with three heads at strides 8, 16 and 32, joined by a feature pyramid; a fraction of YOLOv3's size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)


class Yolo(nn.Module):
    """Images (N, 3, H, W) in [0, 1], sides multiples of 32 -> three maps (N, A, 5 + C, H/s, W/s) for s = 8, 16, 32.

    Channels are x, y, w, h, objectness, classes: all before any squashing. anchors: (3, A, 2) widths and heights in px at the network's
    input, smallest first; part of the weights. Maps grow with stride up to 8 * width; the paper's go on doubling.
    """

    anchors: Tensor

    def __init__(self, classes: int, anchors: Tensor, width: int = 16) -> None:
        super().__init__()
        w = width
        self.classes = classes
        self.register_buffer("anchors", anchors.float().clone())
        self.stem = conv(3, w, 3)
        self.body2 = _stage(w, 2 * w)
        self.body4 = _stage(2 * w, 4 * w)
        self.body8 = _stage(4 * w, 8 * w)
        self.body16 = _stage(8 * w, 8 * w)
        self.body32 = _stage(8 * w, 8 * w)
        self.neck32 = conv(8 * w, 4 * w, 1)
        self.neck16 = conv(12 * w, 4 * w, 1)
        self.neck8 = conv(12 * w, 4 * w, 1)
        self.heads = nn.ModuleList(self._head(4 * w) for _ in STRIDES)

    def _head(self, maps: int) -> nn.Sequential:
        per_anchor = 5 + self.classes
        last = nn.Conv2d(2 * maps, self.anchors.shape[1] * per_anchor, 1)
        assert last.bias is not None
        # Nearly every candidate is background: an objectness of 1 % at the start spares the first steps (Lin et al. 2017, section 4.1).
        with torch.no_grad():
            last.bias[4::per_anchor] = -4.6
        return nn.Sequential(conv(maps, 2 * maps, 3), last)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps in the order of STRIDES."""
        at8 = self.body8(self.body4(self.body2(self.stem(x))))
        at16 = self.body16(at8)
        top32 = self.neck32(self.body32(at16))
        top16 = self.neck16(torch.cat([_double(top32), at16], dim=1))
        top8 = self.neck8(torch.cat([_double(top16), at8], dim=1))
        head_maps = [head(top) for head, top in zip(self.heads, (top8, top16, top32), strict=True)]
        return [f.unflatten(1, (self.anchors.shape[1], 5 + self.classes)) for f in head_maps]


def conv(inside: int, outside: int, side: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, leaky ReLU with slope 0.1."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, side, stride, side // 2, bias=False), nn.BatchNorm2d(outside), nn.LeakyReLU(0.1, inplace=True)
    )


class Residual(nn.Module):
    """x + a 1x1 convolution to half the maps and a 3x3 one back."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(conv(maps, maps // 2, 1), conv(maps // 2, maps, 3))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        y: Tensor = x + self.inner(x)
        return y


def _stage(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(conv(inside, outside, 3, stride=2), Residual(outside))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
