"""Darknet's layers, with its conventions where they differ from torch's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5
"""Below the root of batch normalisation: Darknet's GPU code. Its CPU code adds 1e-6 outside the root instead."""

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "logistic": nn.Sigmoid,
    "mish": nn.Mish,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module | None:
    """The function of that name, leaky with slope 0.1; None where it is not one of ours."""
    return nn.LeakyReLU(0.1) if name == "leaky" else ACTIVATIONS[name]() if name in ACTIVATIONS else None


class Convolutional(nn.Module):
    """Convolution, batch normalisation where `norm`, activation. A bias only without normalisation, whose beta Darknet calls bias."""

    def __init__(self, inside: int, outside: int, size: int, stride: int, padding: int, groups: int, act: nn.Module, *, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, size, stride, padding, groups=groups, bias=not norm)
        self.norm = nn.BatchNorm2d(outside, EPSILON) if norm else None
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, outside, h, w)."""
        x = self.conv(x)
        y: Tensor = self.act(x if self.norm is None else self.norm(x))
        return y


class Connected(nn.Module):
    """A matrix over all of (C, H, W) in that order, batch normalisation where `norm`, activation."""

    def __init__(self, inside: int, outside: int, act: nn.Module, *, norm: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inside, outside, bias=not norm)
        self.norm = nn.BatchNorm1d(outside, EPSILON) if norm else None
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, outside)."""
        x = self.linear(x.flatten(1))
        y: Tensor = self.act(x if self.norm is None else self.norm(x))
        return y


class Local(nn.Module):
    """A convolution whose kernel differs from place to place. weight (places, outside, inside * size * size), bias (outside, h, w)."""

    def __init__(self, inside: tuple[int, int, int], outside: int, size: int, stride: int, padding: int, act: nn.Module) -> None:
        super().__init__()
        maps, height, width = inside
        self.size, self.stride, self.padding = size, stride, padding
        h, w = ((side + 2 * padding - size) // stride + 1 for side in (height, width))
        spread = (1 / (maps * size * size)) ** 0.5
        self.weight = nn.Parameter(torch.empty(h * w, outside, maps * size * size).uniform_(-spread, spread))
        self.bias = nn.Parameter(torch.zeros(outside, h, w))
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, outside, h, w)."""
        patches = F.unfold(x, self.size, padding=self.padding, stride=self.stride)
        y = torch.unflatten(torch.einsum("pok,nkp->nop", self.weight, patches), 2, self.bias.shape[1:]) + self.bias
        activated: Tensor = self.act(y)
        return activated


class MaxPool(nn.Module):
    """Largest of size x size. `padding` in all, its smaller half before the picture: size 2 with stride 1 keeps the picture's size."""

    def __init__(self, size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, h, w) with h = (H + padding - size) // stride + 1."""
        before, after = self.padding // 2, self.padding - self.padding // 2
        if self.padding:
            x = F.pad(x, (before, after, before, after), value=float("-inf"))
        return F.max_pool2d(x, self.size, self.stride)


class Reorg(nn.Module):
    """(C, H, W) -> (s² C, H/s, W/s), as Darknet does it, which is neither of the usual two ways.

    It reads the memory as (C/s², sH, sW), cuts that into s x s places, and lays the result out as the new shape. Published weights were
    trained with it, so putting it right would break them.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Only moves numbers."""
        s = self.stride
        n, c, h, w = x.shape
        squares = x.reshape(n, c // (s * s), h, s, w, s)
        return squares.permute(0, 3, 5, 1, 2, 4).reshape(n, c * s * s, h // s, w // s)


class Route(nn.Module):
    """Some earlier layers' outputs, one after the other; of each only part `group` of `groups`."""

    def __init__(self, sources: tuple[int, ...], groups: int, group: int) -> None:
        super().__init__()
        self.sources, self.groups, self.group = sources, groups, group

    def forward(self, *outputs: Tensor) -> Tensor:
        """Joined along the maps."""
        return torch.cat([x.chunk(self.groups, dim=1)[self.group] for x in outputs], dim=1)


class Shortcut(nn.Module):
    """The sum of the layer before and earlier ones."""

    def __init__(self, sources: tuple[int, ...], act: nn.Module) -> None:
        super().__init__()
        self.sources, self.act = sources, act

    def forward(self, *outputs: Tensor) -> Tensor:
        """All of one shape."""
        total = outputs[0]
        for x in outputs[1:]:
            total = total + x
        y: Tensor = self.act(total)
        return y


class Upsample(nn.Module):
    """Every pixel `stride` times in both directions."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, sH, sW)."""
        return F.interpolate(x, scale_factor=float(self.stride), mode="nearest")
