"""Where a part does best if every cell of displacement costs: the generalised distance transform of its scores.

Felzenszwalb, Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8, 2012. Quadratic costs separate, so columns
follow rows. Displacements are bounded, as in the released detector, and all are tried: at this size a lower envelope saves nothing.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def transform(scores: Tensor, springs: Tensor, reach: int) -> Tensor:
    """max over |dx|, |dy| <= reach of scores[y + dy, x + dx] - cost(dx, dy), for scores (N, M, H, W) and springs (M, 4).

    cost = a dx^2 + b dx + c dy^2 + d dy with springs (a, b, c, d). Differentiable: the best place passes the gradient on.
    """
    a, b, c, d = (s[:, None, None] for s in springs.unbind(1))
    return _along(_along(scores, a, b, reach, -1), c, d, reach, -2)


def _along(scores: Tensor, square: Tensor, linear: Tensor, reach: int, dim: int) -> Tensor:
    costs = torch.stack([square * step * step + linear * step for step in range(-reach, reach + 1)])
    best: Tensor = _Best.apply(scores, costs.detach(), reach, dim)
    return best


class _Best(torch.autograd.Function):
    """The best of all shifts along one axis. Keeps which one it was, a byte a place, where torch.maximum would keep every comparison.

    Differentiable in the scores alone: springs are fitted without gradients.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, costs: Tensor, reach: int, dim: int) -> Tensor:
        """costs: (2 reach + 1, M, 1, 1). Of shifts that are equally good, none at all comes first, then the lowest."""
        size = scores.shape[dim]
        wide = F.pad(scores, (reach, reach, 0, 0) if dim == -1 else (0, 0, reach, reach), value=-math.inf)
        best, chosen = scores.clone(), torch.zeros_like(scores, dtype=torch.int8)
        for step in range(-reach, reach + 1):
            if step:
                shifted = wide.narrow(dim, reach + step, size) - costs[step + reach]
                if ctx.needs_input_grad[0]:
                    chosen.masked_fill_(shifted > best, step)
                torch.maximum(best, shifted, out=best)
        ctx.save_for_backward(chosen)
        ctx.reach, ctx.dim = reach, dim
        return best

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Each place's gradient goes to where its best score came from."""
        (chosen,), reach, dim = ctx.saved_tensors, ctx.reach, ctx.dim
        size = gradient.shape[dim]
        shape = list(gradient.shape)
        shape[dim] += 2 * reach
        wide = gradient.new_zeros(shape)
        for step in range(-reach, reach + 1):
            wide.narrow(dim, reach + step, size).addcmul_(gradient, (chosen == step).to(gradient.dtype))
        return wide.narrow(dim, reach, size), None, None, None


def best_shift(scores: Tensor, y: int, x: int, spring: Tensor, reach: int) -> tuple[int, int]:
    """(dy, dx) of the displacement that `transform` takes at (y, x) of scores (H, W); the first one where several are equal."""
    top, left = max(0, y - reach), max(0, x - reach)
    window = scores[top : y + reach + 1, left : x + reach + 1]
    dy = torch.arange(top - y, top - y + window.shape[0])[:, None]
    dx = torch.arange(left - x, left - x + window.shape[1])[None]
    a, b, c, d = spring.unbind(0)
    place = int((window - (a * dx * dx + b * dx + c * dy * dy + d * dy)).argmax())
    row, column = divmod(place, window.shape[1])
    return int(dy[row, 0]), int(dx[0, column])
