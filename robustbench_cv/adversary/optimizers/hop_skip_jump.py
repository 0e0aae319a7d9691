"""HopSkipJumpAttack as a conversation. Chen, Jordan, Wainwright, IEEE S&P 2020, https://arxiv.org/abs/1904.02144, algorithms 1 and 2."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustbench_cv.adversary.optimizers.decision_based import Conversation
from robustbench_cv.adversary.optimizers.gradient_estimation import upsample_tiles
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise

STARTS = 20
"""Noise images asked before plain ones, as starts (project choice; the authors' code: up to 10,000)."""


@dataclass(frozen=True)
class HopSkipJump:
    """Walk along the decision boundary toward the clean image: estimate its normal from decisions, step, and bisect back to it.

    norm: 'linf' or 'l2'. first: probes of the first estimate, sqrt(t) times as many at step t, at most 10,000 (as in the authors' code).
    tile: pixels, the side of the squares that a probe moves as one (see `gradient_estimation.tiled_directions`).
    """

    norm: Literal["linf", "l2"] = "l2"
    first: int = 100
    tile: int = 1

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise UserError(f"hop-skip-jump walks in 'linf' or 'l2', not {self.norm!r}")
        if self.first < 1:
            raise UserError(f"hop-skip-jump: first={self.first} must be at least 1")
        if self.tile < 1:
            raise UserError(f"hop-skip-jump: tile={self.tile} must be at least 1 pixel")

    def __call__(self, x0: Tensor, noise: Noise) -> Conversation:
        """x0: (1, 3, H, W), one sample's."""
        if bool((yield x0)[0]):
            return
        for start in starts(x0, noise):
            if bool((yield start)[0]):
                break
        else:
            return
        dimensions = x0.numel()
        # How near to the boundary the bisection ends: gamma = 1 over d^1.5 (L2) or d^2 (Linf), section 5.1 of the paper and the code.
        fineness = dimensions ** (-1.5 if self.norm == "l2" else -2.0)
        x, before = start, self._distance(x0, start)
        x = yield from self._bisect(x0, x, fineness)
        for t in range(1, 10_000):
            share = math.sqrt(dimensions) * fineness if self.norm == "l2" else dimensions * fineness
            width = 0.1 if t == 1 else share * before
            probes = min(int(self.first * math.sqrt(t)), 10_000)
            direction = yield from self._ascent(x, width, noise.fork(f"step {t}"), probes)
            distance = self._distance(x0, x)
            step = distance / math.sqrt(t)
            while step > 1e-6 * distance:
                moved = (x + step * direction).clamp(0, 1)
                if bool((yield moved)[0]):
                    before = self._distance(x0, moved)
                    x = yield from self._bisect(x0, moved, fineness)
                    break
                step /= 2

    def _ascent(self, x: Tensor, width: float, noise: Noise, probes: int) -> Generator[Tensor, Tensor, Tensor]:
        """The unit direction into the broken side, from which of the probes around x are broken (equations 8 to 16)."""
        shape = (probes, *x[0, :, :: self.tile, :: self.tile].shape)
        drawn = noise.normal(shape, x.device)[0] if self.norm == "l2" else 2 * noise.uniform(shape, x.device)[0] - 1
        drawn = upsample_tiles(drawn.to(x), self.tile, x)
        drawn = drawn / drawn.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        asked = (x + width * drawn).clamp(0, 1)
        drawn = (asked - x) / width
        answers = 2 * (yield asked).to(x) - 1
        mean = answers.mean()
        # All alike: their own mean is the direction; else the mean is a baseline that takes variance away.
        weights = answers if bool(mean.abs() == 1) else answers - mean
        normal = (weights.reshape(-1, 1, 1, 1) * drawn).mean(dim=0, keepdim=True)
        unit: Tensor = normal / normal.norm().clamp(min=1e-30) if self.norm == "l2" else normal.sign()
        return unit

    def _bisect(self, x0: Tensor, broken: Tensor, fineness: float) -> Generator[Tensor, Tensor, Tensor]:
        """The broken image nearest the boundary on the way to x0: along the line (L2), or cut to ever smaller boxes (Linf)."""
        reach: Callable[[float], Tensor]
        if self.norm == "l2":
            high, end = 1.0, fineness
            reach = lambda a: (1 - a) * x0 + a * broken  # noqa: E731
        else:
            high = self._distance(x0, broken)
            end = min(high * fineness, fineness)
            reach = lambda a: torch.minimum(torch.maximum(broken, x0 - a), x0 + a)  # noqa: E731
        low, nearest = 0.0, broken
        while high - low > end:
            middle = (low + high) / 2
            if not low < middle < high:
                break
            image = reach(middle)
            if bool((yield image)[0]):
                high, nearest = middle, image
            else:
                low = middle
        return nearest

    def _distance(self, x0: Tensor, x: Tensor) -> float:
        change = x - x0
        return float(change.norm() if self.norm == "l2" else change.abs().amax())


def starts(x0: Tensor, noise: Noise) -> Generator[Tensor, None, None]:
    """Images far from x0 (1, 3, H, W) that may be broken: uniform noise, then the negative, then plain ones of any colour."""
    for i in range(STARTS):
        yield noise.fork(f"start {i}").uniform(tuple(x0.shape[1:]), x0.device).to(x0)
    yield 1 - x0
    for i in range(STARTS):
        yield noise.fork(f"plain {i}").uniform((3, 1, 1), x0.device).to(x0).round(decimals=1).expand_as(x0)
