"""Gradients estimated from values, for models that give none: any constraint, any task, any chain of gradient transforms.

A probe goes a little ahead of theta in a random direction and the same way back; the difference of the two values says how much of the
direction is ascent. Every probe is projected first: a black box is only ever shown legal images, each within the budget, and one that
breaks the sample ends its search. Where a bound cuts one of the two sides off, the estimate of that coordinate halves and keeps its sign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from robustbench_cv.adversary.gradient_transforms import State, Transform
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise

Directions: TypeAlias = Callable[[Noise, Tensor], Tensor]
"""(noise, theta) -> random directions shaped like theta, of variance 1 in each coordinate."""


def gaussian(noise: Noise, theta: Tensor) -> Tensor:
    """Standard normal: natural evolution strategies (Wierstra et al. 2014)."""
    return noise.normal(tuple(theta.shape[1:]), theta.device).to(theta)


def signs(noise: Noise, theta: Tensor) -> Tensor:
    """-1 or 1 for each coordinate: simultaneous perturbation (Spall 1992)."""
    return 2 * (noise.uniform(tuple(theta.shape[1:]), theta.device).to(theta) >= 0.5).to(theta) - 1


def tiled_directions(directions: Directions, tile: int) -> Directions:
    """The same directions, alike in all pixels of a square `tile` pixels wide: fewer unknowns for as many probes.

    Neighbouring pixels' gradients resemble each other (Ilyas, Engstrom, Madry, ICLR 2019, https://arxiv.org/abs/1807.07978, section 3).
    1: each pixel its own.
    """
    if tile < 1:
        raise UserError(f"tile={tile} must be at least 1 pixel")
    if tile == 1:
        return directions
    return lambda noise, theta: upsample_tiles(directions(noise, theta[..., ::tile, ::tile]), tile, theta)


def upsample_tiles(coarse: Tensor, tile: int, like: Tensor) -> Tensor:
    """Each value of `coarse` (..., h, w) at all pixels of a square, cut to the height and width of `like`."""
    height, width = like.shape[-2:]
    return coarse.repeat_interleave(tile, dim=-2).repeat_interleave(tile, dim=-1)[..., :height, :width]


@dataclass(frozen=True)
class EstimatedAscent(Optimizer):
    """theta <- project(theta + move(estimate)), the estimate from `pairs` antithetic probes at distance `width`: 2 pairs queries a step.

    pairs = probes / 2: see `steps_within`.
    """

    move: Transform
    directions: Directions
    width: float
    pairs: int

    @property
    def queries_per_step(self) -> int | None:
        return 2 * self.pairs

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        return self.move.init(theta)

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: State) -> tuple[Tensor, State]:
        move, state = self.move.update(self.estimate(problem, theta), state)
        return problem.project(theta + move), state

    def estimate(self, problem: Problem[Any, Any], theta: Tensor) -> Tensor:
        """The gradient of the objective, smoothed over `width`; zero for samples whose values are not finite."""
        noise = problem.victim.noise.fork(f"step {problem.step}")
        total = torch.zeros_like(theta)
        for i in range(self.pairs):
            direction = self.directions(noise.fork(str(i)), theta)
            ahead = problem.value(problem.project(theta + self.width * direction))
            behind = problem.value(problem.project(theta - self.width * direction))
            gain = ((ahead - behind) / (2 * self.width * self.pairs)).to(theta)
            total += gain.where(gain.isfinite(), 0).reshape(-1, *[1] * (theta.dim() - 1)) * direction
        return total


def steps_within(name: str, queries: int, probes: int) -> tuple[int, int]:
    """(steps, pairs of probes a step) that spend at most `queries`, `probes` a step."""
    if probes < 2 or probes % 2:
        raise UserError(f"{name}: probes={probes} must be even and at least 2: probes go in pairs, ahead and back")
    if queries < probes:
        raise UserError(f"{name}: queries={queries} do not pay for one step of probes={probes}; give at least {probes}")
    return queries // probes, probes // 2
