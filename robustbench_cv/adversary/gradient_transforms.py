"""Parts that turn a gradient into a move: pairs of pure functions, chained.

mi-fgsm's move = chain(l1_mean(), momentum(1.0), steepest(ball), scale(alpha))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary.constraint import TINY, Constraint
from robustbench_cv.errors import UserError

State: TypeAlias = Any
"""A tensor with one row a sample, or a (named) tuple of states, or None: see `rows`."""


class Transform(NamedTuple):
    """init: theta -> state. update: (gradient, state) -> (what goes on, state). Both without side effects."""

    init: Callable[[Tensor], State]
    update: Callable[[Tensor, State], tuple[Tensor, State]]


def chain(*parts: Transform) -> Transform:
    """One after the other."""

    def update(grad: Tensor, states: State) -> tuple[Tensor, State]:
        after = []
        for part, state in zip(parts, states, strict=True):
            grad, state = part.update(grad, state)
            after.append(state)
        return grad, tuple(after)

    return Transform(lambda theta: tuple(part.init(theta) for part in parts), update)


def stateless(function: Callable[[Tensor], Tensor]) -> Transform:
    """A function of the gradient alone."""
    return Transform(lambda theta: None, lambda grad, state: (function(grad), state))


def l1_mean() -> Transform:
    """Each sample's gradient over its own mean magnitude; zero stays zero. The mean or the sum (Dong et al. 2018): the same signs."""

    def divide(grad: Tensor) -> Tensor:
        return grad / grad.abs().flatten(1).mean(dim=1).clamp(min=TINY).reshape(-1, *[1] * (grad.dim() - 1))

    return stateless(divide)


def momentum(decay: float) -> Transform:
    """The sum of all gradients so far, older ones fading by `decay` a step."""

    def update(grad: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        total = decay * total + grad
        return total, total

    return Transform(torch.zeros_like, update)


def adam(first: float = 0.9, second: float = 0.999, floor: float = 1e-8) -> Transform:
    """The corrected mean of the gradients over the root of that of their squares (Kingma & Ba, ICLR 2015): then scale(rate)."""

    def update(grad: Tensor, state: State) -> tuple[Tensor, State]:
        mean, square, count = state
        mean, square, count = first * mean + (1 - first) * grad, second * square + (1 - second) * grad.square(), count + 1
        move = (mean / (1 - first**count)) / ((square / (1 - second**count)).sqrt() + floor)
        return move, (mean, square, count)

    return Transform(lambda theta: (torch.zeros_like(theta), torch.zeros_like(theta), 0), update)


def steepest(constraint: Constraint) -> Transform:
    """The constraint's unit step of greatest ascent."""
    return stateless(constraint.steepest)


def scale(length: float) -> Transform:
    """Times `length`."""
    return stateless(lambda grad: length * grad)


def rows(state: State, index: Tensor) -> State:
    """The state of some of the samples: rows of every tensor in it, everything else as it is."""
    if isinstance(state, Tensor):
        return state[index.to(state.device)]
    if isinstance(state, tuple):
        parts = [rows(part, index) for part in state]
        return type(state)(*parts) if type(state) is not tuple else tuple(parts)
    return state


def gaussian_smoothing(side: int) -> Transform:
    """The gradient blurred by a Gaussian of odd side, three standard deviations to each border (Dong et al., CVPR 2019, section 3.2)."""
    if side < 1 or side % 2 == 0:
        raise UserError(f"kernel={side} must be an odd number of pixels")
    at = torch.linspace(-3, 3, side) if side > 1 else torch.zeros(1)
    line = (-at.square() / 2).exp() / math.sqrt(2 * math.pi)
    line = line / line.sum()

    def blur(grad: Tensor) -> Tensor:
        channels = grad.shape[1]
        row = line.to(grad).expand(channels, 1, 1, side)
        across = F.conv2d(grad, row, padding=(0, side // 2), groups=channels)
        return F.conv2d(across, row.transpose(2, 3), padding=(side // 2, 0), groups=channels)

    return stateless(blur)
