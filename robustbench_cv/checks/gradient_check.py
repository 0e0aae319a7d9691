"""Whether a gradient is the slope of its function: finite differences along directions in which the gradient promises most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = (1 / 255, 1 / 2550)
"""Half-widths of the central differences (project choice): one grey level, which straight-through estimators are made for, and, where
that one disagrees, a tenth of it, for scores too steep or too kinked for a grey level."""

AGREEMENT = 0.5
"""Share of directions in which the sign must agree (project choice): a random gradient agrees in half of them."""


@dataclass(frozen=True)
class Slopes:
    """Of N samples: how many gradients are exactly zero; in how many of `tried` directions function and gradient rise together."""

    samples: int
    zero: int
    tried: int
    agree: int

    @property
    def misleads(self) -> bool:
        """Whether the gradient is not that of the function."""
        return self.tried > 0 and self.agree <= AGREEMENT * self.tried

    def __add__(self, other: Slopes) -> Slopes:
        mine, theirs = (self.samples, self.zero, self.tried, self.agree), (other.samples, other.zero, other.tried, other.agree)
        return Slopes(*(a + b for a, b in zip(mine, theirs, strict=True)))


NONE = Slopes(0, 0, 0, 0)


def measure(value: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor) -> Slopes:
    """value: images (N, 3, H, W) -> (N,), evaluated without gradients; gradient: of its sum at x, in the same shape.

    Two directions a sample: the gradient's signs on the even and on the odd rows of pixels. What the gradient promises within rounding is
    not counted. 4 to 8 forward passes.
    """
    zero = ~gradient.flatten(1).any(dim=1)
    tried = torch.zeros_like(zero, dtype=torch.int64)
    agree = torch.zeros_like(tried)
    for parity in (0, 1):
        direction = gradient.sign()
        direction[:, :, parity::2] = 0
        counted, same = torch.zeros_like(zero), torch.zeros_like(zero)
        for step in STEPS:
            rise, promise, rounding = _difference(value, x, gradient, step * direction)
            counted |= (promise > rounding) & ~zero
            same |= (promise > rounding) & (rise > 0)
            if bool((same | ~counted).all()):
                break
        tried += counted
        agree += same & counted
    return Slopes(len(x), int(zero.sum()), int(tried.sum()), int(agree.sum()))


def _difference(value: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """f(x + step) - f(x - step), what the gradient promises of it, and float32's rounding of it, each (N,)."""
    with torch.no_grad():
        up, down = (x + step).clamp(0, 1), (x - step).clamp(0, 1)
        above, below = value(up), value(down)
        promise = ((up - down) * gradient).flatten(1).sum(dim=1)
        return above - below, promise, 1e-5 * (1 + above.abs() + below.abs())
