"""The convolutional parts of the networks that region-based detectors were published with, and a small one that trains on Scenes.

`compact` has batch normalisation and a stride of 4, so that objects of 16 px still have 4 cells; the published ones have neither.
"""

from __future__ import annotations

from torch import nn


class Compact(nn.Sequential):
    """(N, 3, H, W) -> (N, 4 width, H / 4, W / 4): four 3x3 convolutions with batch normalisation and ReLU."""

    stride = 4

    def __init__(self, width: int) -> None:
        self.maps = 4 * width
        super().__init__(
            *_conv_norm(3, width, 2), *_conv_norm(width, 2 * width), nn.MaxPool2d(2),
            *_conv_norm(2 * width, 4 * width), *_conv_norm(4 * width, 4 * width),
        )  # fmt: skip


class AlexNet(nn.Sequential):
    """Convolutions and pool5 of Krizhevsky, Sutskever, Hinton, NeurIPS 2012: (N, 3, 227, 227) -> (N, 256, 6, 6)."""

    stride, maps = 32, 256

    def __init__(self) -> None:
        super().__init__(
            *_plain(3, 96, 11, 4, 0), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2),
            *_plain(96, 256, 5, 1, 2, groups=2), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2),
            *_plain(256, 384, 3, 1, 1), *_plain(384, 384, 3, 1, 1, groups=2), *_plain(384, 256, 3, 1, 1, groups=2),
            nn.MaxPool2d(3, 2),
        )  # fmt: skip


class ZF5(nn.Sequential):
    """Convolutions of Zeiler, Fergus, ECCV 2014, padded as detection needs: (N, 3, H, W) -> (N, 256, H / 16, W / 16)."""

    stride, maps = 16, 256

    def __init__(self) -> None:
        super().__init__(
            *_plain(3, 96, 7, 2, 3), nn.LocalResponseNorm(3), nn.MaxPool2d(3, 2, 1),
            *_plain(96, 256, 5, 2, 2), nn.LocalResponseNorm(3), nn.MaxPool2d(3, 2, 1),
            *_plain(256, 384, 3, 1, 1), *_plain(384, 384, 3, 1, 1), *_plain(384, 256, 3, 1, 1),
        )  # fmt: skip


class OverFeat(nn.Sequential):
    """Convolutions of the fast network of Sermanet et al., ICLR 2014, table 1: (N, 3, 231, 231) -> (N, 1024, 6, 6)."""

    stride, maps = 32, 1024

    def __init__(self) -> None:
        super().__init__(
            *_plain(3, 96, 11, 4, 0), nn.MaxPool2d(2), *_plain(96, 256, 5, 1, 0), nn.MaxPool2d(2),
            *_plain(256, 512, 3, 1, 1), *_plain(512, 1024, 3, 1, 1), *_plain(1024, 1024, 3, 1, 1), nn.MaxPool2d(2),
        )  # fmt: skip


class VGG16(nn.Sequential):
    """Convolutions up to conv5_3 of Simonyan, Zisserman, ICLR 2015: (N, 3, H, W) -> (N, 512, H / 16, W / 16)."""

    stride, maps = 16, 512

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        inside = 3
        for stage, (maps, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
            layers += [nn.MaxPool2d(2)] if stage else []
            for _ in range(count):
                layers += _plain(inside, maps, 3, 1, 1)
                inside = maps
        super().__init__(*layers)


def hidden_layers(inside: int, *sides: int) -> nn.Sequential:
    """Linear layers of the given sizes, ReLU after each."""
    layers: list[nn.Module] = []
    for outside in sides:
        layers += [nn.Linear(inside, outside), nn.ReLU()]
        inside = outside
    return nn.Sequential(*layers)


def _plain(inside: int, outside: int, side: int, stride: int, pad: int, groups: int = 1) -> tuple[nn.Module, nn.Module]:
    layer = nn.Conv2d(inside, outside, side, stride, pad, groups=groups)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer, nn.ReLU()


def _conv_norm(inside: int, outside: int, stride: int = 1) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
