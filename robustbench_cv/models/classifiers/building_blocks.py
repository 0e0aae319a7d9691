"""What several of the own classifiers are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from robustbench_cv.errors import UserError

BRIGHTNESS = (0.299, 0.587, 0.114)
"""Share of red, green and blue in brightness (ITU-R BT.601)."""


def conv(inside: int, outside: int, side: int, *, stride: int = 1, pad: int = 0, groups: int = 1) -> list[nn.Module]:
    """A convolution with bias and its ReLU."""
    return [nn.Conv2d(inside, outside, side, stride, pad, groups=groups), nn.ReLU(inplace=True)]


def conv_norm(inside: int, outside: int, side: int, *, stride: int = 1, pad: int = 0, groups: int = 1) -> list[nn.Module]:
    """A convolution without bias, and batch normalisation."""
    return [nn.Conv2d(inside, outside, side, stride, pad, groups=groups, bias=False), nn.BatchNorm2d(outside)]


def dense(inside: int, outside: int) -> list[nn.Module]:
    """Half of the inputs dropped in training, a linear layer, a ReLU."""
    return [nn.Dropout(0.5), nn.Linear(inside, outside), nn.ReLU(inplace=True)]


def brightness() -> nn.Module:
    """Local response normalisation of Krizhevsky et al. 2012, section 3.3: a / (2 + 1e-4 sum a^2)^0.75 over 5 neighbouring maps."""
    # torch divides its alpha by the number of neighbours, the paper does not.
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def grey(images: Tensor) -> Tensor:
    """The brightness of images: (N, 3, H, W) -> (N, 1, H, W), with the weights of ITU-R BT.601. Differentiable."""
    return (images * images.new_tensor(BRIGHTNESS).view(3, 1, 1)).sum(dim=1, keepdim=True)


def output_size(layers: Iterable[nn.Module], size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) px after convolutions and max-pools, one after the other. UserError where nothing is left of the picture."""
    sides = list(size)
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            kernel, stride, pad = (_pair(v) for v in (layer.kernel_size, layer.stride, layer.padding))
            up = [s - 1 if getattr(layer, "ceil_mode", False) else 0 for s in stride]
            sides = [(n + 2 * p - k + u) // s + 1 for n, k, s, p, u in zip(sides, kernel, stride, pad, up, strict=True)]
    if min(sides) < 1:
        raise UserError(f"{size[1]}x{size[0]} px are too few for these layers; give a larger input_size")
    return sides[0], sides[1]


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, tuple) else (value, value)
    return int(first), int(second)


def he_initialisation(network: nn.Module) -> None:
    """Kernels and matrices for ReLU networks, biases 0. He, Zhang, Ren, Sun, ICCV 2015, https://arxiv.org/abs/1502.01852"""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
