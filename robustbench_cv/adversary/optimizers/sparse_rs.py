"""Sparse-RS in L0: a set of pixels at corner colours, some swapped where that helps. Croce et al., AAAI 2022, https://arxiv.org/abs/2006.12834"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.errors import UserError

BLOCK = 128
"""Steps whose random numbers are drawn at once: a generator a sample and step would cost as much as a small network."""

DIVIDED = ((0, 2), (50, 4), (200, 5), (500, 6), (1000, 8), (2000, 10), (4000, 12), (6000, 15), (8000, 20))
"""After which of 10,000 steps the first share is divided by what: the L0 schedule of the authors' code."""


class _State(NamedTuple):
    best: Tensor
    value: Tensor
    order: Tensor
    """int64 (N, H x W): every place once, those of the set first. Shuffled in place within the set and within the rest."""
    draws: Tensor
    """Uniform (N, steps of the block, swaps, 3): the pixel that leaves, the one that enters, its colour."""


@dataclass(frozen=True)
class SparseRS(Optimizer):
    """One forward pass a step, no gradient: the first asks a random set, each later one the best set with a share of its pixels swapped.

    Pixels that enter get a random corner of the colour cube, those that stay keep theirs. A proposal is kept if it is strictly better or
    breaks its sample. Needs a constraint whose theta is the image and whose radius counts pixels; starts from the clean image.
    swap_fraction: of the set, swapped at the outset (0.3 in the paper's L0 experiments). The schedule, made for 10,000 steps, is stretched
    over those at hand, and the number of swaps is rounded down, to at least one, both as in the authors' code. Two deviations from it: each
    sample draws its own places, where there the whole batch shares the draw; and a new colour is never the clean pixel's, where there it
    may be in the first set and in swaps of two and more, so that here exactly `radius` pixels differ.
    """

    swap_fraction: float = 0.3

    @property
    def queries_per_step(self) -> int | None:
        return 1

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        count, places = int(problem.radius), theta[0, 0].numel()
        if count >= places:
            raise UserError(f"pixels={count} must be fewer than the image's {places}: otherwise there is nothing to swap")
        noise = problem.victim.noise.fork("first")
        order = noise.fork("places").uniform((places,), theta.device).argsort(dim=1)
        colours = noise.fork("colours").uniform((count,), theta.device)
        best = _paint(problem.x0, theta, order[:, :0], order[:, :count], colours)
        return _State(best, torch.full_like(best[:, 0, 0, 0], -torch.inf), order, self._draw(problem))

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _State) -> tuple[Tensor, _State]:
        if problem.step == 0:
            return state.best, state._replace(value=problem.value(state.best))
        if problem.step % BLOCK == 0:
            state = state._replace(draws=self._draw(problem))
        count, order = int(problem.radius), state.order
        swaps = self._swaps(problem, problem.step)
        draw = state.draws[:, problem.step % BLOCK, :swaps]
        _bring_forward(order, 0, count, draw[..., 0])
        _bring_forward(order, count, order.shape[1], draw[..., 1])
        leaving, entering = order[:, :swaps], order[:, count : count + swaps]
        proposal = _paint(problem.x0, state.best, leaving, entering, draw[..., 2])
        value = problem.value(proposal)
        better = (value > state.value) | problem.broken_samples
        if not bool(better.any()):
            return state.best, state
        taken = better[:, None]
        order[:, :swaps], order[:, count : count + swaps] = entering.where(taken, leaving), leaving.where(taken, entering)
        best = proposal.where(better.reshape(-1, 1, 1, 1), state.best)
        return best, state._replace(best=best, value=value.where(better, state.value))

    def _swaps(self, problem: Problem[Any, Any], step: int) -> int:
        count, places = int(problem.radius), problem.x0[0, 0].numel()
        return min(max(int(swap_fraction_at(step, problem.steps, self.swap_fraction) * count), 1), places - count)

    def _draw(self, problem: Problem[Any, Any]) -> Tensor:
        """Enough for the block: later steps swap no more than earlier ones."""
        shape = min(BLOCK, problem.steps - problem.step), self._swaps(problem, problem.step), 3
        return problem.victim.noise.fork(f"swaps from {problem.step}").uniform(shape, problem.x0.device)


def swap_fraction_at(step: int, steps: int, swap_fraction: float) -> float:
    """The share of the set that is swapped at a step: `swap_fraction` at step 0, less after each of the schedule's.

    >>> [swap_fraction_at(step, 10_000, 1.0) for step in (0, 1, 51, 9999)]
    [1.0, 0.5, 0.25, 0.05]
    """
    at = int(step / max(steps, 1) * 10_000)
    return swap_fraction / max([1, *(divisor for after, divisor in DIVIDED if at > after)])


def _bring_forward(order: Tensor, start: int, end: int, draws: Tensor) -> None:
    """Random places of order[:, start:end], without repetition, to its front: the first rounds of Fisher and Yates's shuffle, in place."""
    row = torch.arange(len(order), device=order.device)
    for here, draw in enumerate(draws.unbind(1), start):
        there = here + _whole(draw, end - here)
        chosen = order[row, there]
        order[row, there] = order[:, here].clone()
        order[:, here] = chosen


def _paint(x0: Tensor, x: Tensor, leaving: Tensor, entering: Tensor, draws: Tensor) -> Tensor:
    """Images x with the clean pixels back at some places, int64 (N, K) of H x W, and corner colours at others."""
    clean, channels = x0.flatten(2), x0.shape[1]
    back, new = (places[:, None].expand(-1, channels, -1) for places in (leaving, entering))
    painted = x.flatten(2).scatter(2, back, clean.gather(2, back))
    return painted.scatter_(2, new, _corners(clean.gather(2, new), draws)).view(x0.shape)


def _corners(clean: Tensor, draws: Tensor) -> Tensor:
    """Colours of zeros and ones, each equally likely but the clean one: (N, C, K) of clean (N, C, K) and uniform draws (N, K)."""
    bits = 2 ** torch.arange(clean.shape[1], device=clean.device)[:, None]
    corners = 2 ** clean.shape[1]
    is_corner = ((clean == 0) | (clean == 1)).all(dim=1)
    other = ((clean.long() * bits).sum(dim=1) + 1 + _whole(draws, corners - 1)) % corners
    return (torch.where(is_corner, other, _whole(draws, corners))[:, None] // bits % 2).to(clean)


def _whole(draws: Tensor, count: int) -> Tensor:
    """Whole numbers from 0 to count - 1, of uniform draws in [0, 1)."""
    return (draws * count).long().clamp(max=count - 1)
