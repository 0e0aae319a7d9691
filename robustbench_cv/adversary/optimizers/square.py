"""Square Attack: random squares that are kept where they help. Andriushchenko et al., ECCV 2020, https://arxiv.org/abs/1912.00049"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem

BLOCK = 128
"""Steps whose random numbers are drawn at once: a generator a sample and step would cost as much as a small network."""

SHRINKS_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


class _State(NamedTuple):
    best: Tensor
    value: Tensor
    draws: Tensor
    """Uniform (N, BLOCK, 5 + channels): two places, an orientation, a sign a channel."""


@dataclass(frozen=True)
class Square(Optimizer):
    """One forward pass a step, no gradient: a new square, the same in all its pixels in Linf, is kept if the objective rises.

    area: share of the image that the first squares cover (p_init). rescale: stretch the schedule, made for 10,000 steps, over the steps at
    hand; AutoAttack does not. Two deviations from the authors' code: each sample has a place of its own, drawn from its id, where there the
    whole batch has one; and a square may start at the last place that it fits, where there it never does, so that no square of one pixel
    touches the last row and column.
    """

    norm: str
    area: float = 0.8
    rescale: bool = True

    @property
    def queries_per_step(self) -> int | None:
        return 1

    @property
    def queries_beside(self) -> int:
        """The first stripes, and the last image."""
        return 2

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        best = problem.project(problem.x0 + self._first(problem))
        return _State(best, problem.value(best), self._draw(problem))

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _State) -> tuple[Tensor, _State]:
        if problem.step and problem.step % BLOCK == 0:
            state = state._replace(draws=self._draw(problem))
        draw = state.draws[:, problem.step % BLOCK]
        pixels = area_at(problem.step, problem.steps, self.area, self.rescale) * problem.x0.shape[2] * problem.x0.shape[3]
        proposal = (
            self._square(problem, state.best, draw, pixels) if self.norm == "linf" else self._window(problem, state.best, draw, pixels)
        )
        value = problem.value(proposal)
        better = (value > state.value) | problem.broken_samples
        if not bool(better.any()):
            return state.best, state
        best = torch.where(better.reshape(-1, 1, 1, 1), proposal, state.best)
        return best, state._replace(best=best, value=torch.where(better, value, state.value))

    def _draw(self, problem: Problem[Any, Any]) -> Tensor:
        noise = problem.victim.noise.fork(f"steps from {problem.step}")
        return noise.uniform((min(BLOCK, problem.steps - problem.step), 5 + problem.x0.shape[1]), problem.x0.device).to(problem.x0)

    def _first(self, problem: Problem[Any, Any]) -> Tensor:
        """Vertical stripes of +-radius in each channel; in L2 and L1 a grid of five by five windows."""
        n, channels, height, width = problem.x0.shape
        noise, device = problem.victim.noise.fork("first"), problem.x0.device
        if self.norm == "linf":
            return problem.radius * _signs(noise.uniform((channels, 1, width), device).to(problem.x0)).expand(n, channels, height, width)
        side = max(height // 5, 1)
        inset, rows, columns = max((height - 5 * side) // 2, 0), height // side, width // side
        draws = noise.uniform((rows, columns, 1 + channels), device).to(problem.x0)
        change = torch.zeros_like(problem.x0)
        shape = bump(side, self.norm).to(problem.x0)
        for row in range(rows):
            for column in range(columns):
                top, left = inset + row * side, inset + column * side
                room = change[:, :, top : top + side, left : left + side]
                signs = _signs(draws[:, row, column, 1:])[:, :, None, None]
                room += (_turn_windows(shape, draws[:, row, column, 0]) * signs)[:, :, : room.shape[2], : room.shape[3]]
        return problem.radius * _unit(change, self.norm) if self.norm == "l2" else change

    def _square(self, problem: Problem[Any, Any], best: Tensor, draw: Tensor, pixels: float) -> Tensor:
        height, width = best.shape[2:]
        side = min(max(round(math.sqrt(pixels)), 1), height, width)
        inside = _spans(draw[:, 0], side, height)[:, None, :, None] & _spans(draw[:, 1], side, width)[:, None, None, :]
        change = (2 * problem.radius * _signs(draw[:, 5:]))[:, :, None, None]
        return problem.project(torch.addcmul(best, inside.to(best), change))

    def _window(self, problem: Problem[Any, Any], best: Tensor, draw: Tensor, pixels: float) -> Tensor:
        """Empty one window, and give another its norm and what the image had left (the paper's algorithm 3)."""
        x0, norm = problem.x0, self.norm
        channels, height, width = x0.shape[1:]
        side = max(round(math.sqrt(pixels)), 3)
        side = min(side + (side % 2 == 0), height, width)
        change = best - x0
        here, there = (_windows(draw[:, i], draw[:, i + 1], side, channels, height, width) for i in (0, 2))
        touched = torch.zeros_like(change, dtype=torch.bool)
        touched[here], touched[there] = True, True
        freed = _norm(change * touched, norm, (2, 3))
        used = _norm(change, norm, (1, 2, 3))
        old = change[here].movedim(-1, 1)
        new = _turn_windows(bump(side, norm).to(x0), draw[:, 4]) * _signs(draw[:, 5:])[:, :, None, None] + old / (
            1e-12 + _norm(old, norm, (2, 3))
        )
        new = new / (1e-12 + _norm(new, norm, (2, 3)))
        if norm == "l2":
            new = new * ((problem.radius**2 - used**2).clamp(min=0) / channels + freed**2).sqrt()
        else:
            new = new * ((problem.radius - used).clamp(min=0) / channels + freed) * channels
        change[there] = 0
        change[here] = new.movedim(1, -1)
        return problem.project(x0 + (problem.radius * _unit(change, norm) if norm == "l2" else change))


def area_at(step: int, steps: int, area: float, rescale: bool) -> float:
    """The share of the image that a square covers at a step: halved after each of the schedule's.

    >>> [area_at(step, 5000, 1.0, False) for step in (0, 11, 51, 4001)]
    [1.0, 0.5, 0.25, 0.0078125]
    """
    at = int(step / steps * 10_000) if rescale else step
    return float(area / 2 ** sum(at > shrink for shrink in SHRINKS_AFTER))


def bump(side: int, norm: str) -> Tensor:
    """A window (side, side) of norm 1: a hill on the upper half, its negative below, flatter by the square (in L1 the fourth power)."""
    window = torch.zeros(side, side)
    window[: side // 2] = _hill(side // 2, side, norm)
    window[side // 2 :] = -_hill(side - side // 2, side, norm)
    return _unit(window[None, None], norm)[0, 0]


def _hill(height: int, width: int, norm: str) -> Tensor:
    hill = torch.zeros(height, width)
    top, left = height // 2, width // 2
    for i in range(max(height // 2, width // 2) + 1):
        reach = slice(max(top - i, 0), top + i + 1), slice(max(left - i, 0), left + i + 1)
        hill[reach] += 1 / (i + 1) ** (2 if norm == "l2" else 4)
    return _unit(hill[None, None], norm)[0, 0] if height else hill


def _turn_windows(window: Tensor, draw: Tensor) -> Tensor:
    """The window or its transpose for each sample: (N, 1, side, side)."""
    return torch.where((draw > 0.5).reshape(-1, 1, 1), window.T, window)[:, None]


def _signs(draws: Tensor) -> Tensor:
    return (draws >= 0.5).to(draws) * 2 - 1


def _corner(draw: Tensor, side: int, length: int) -> Tensor:
    return (draw * (length - side + 1)).long().clamp(max=length - side)


def _spans(draw: Tensor, side: int, length: int) -> Tensor:
    """bool (N, length): `side` places in a row."""
    offset = torch.arange(length, device=draw.device) - _corner(draw, side, length)[:, None]
    return (offset >= 0) & (offset < side)


def _windows(top: Tensor, left: Tensor, side: int, channels: int, height: int, width: int) -> tuple[Tensor, ...]:
    """Indices of a window a sample in (N, C, H, W), giving (N, side, side, C)."""
    span, batch = torch.arange(side, device=top.device), torch.arange(len(top), device=top.device)
    rows, columns = _corner(top, side, height)[:, None] + span, _corner(left, side, width)[:, None] + span
    channel = torch.arange(channels, device=top.device)
    return batch[:, None, None, None], channel, rows[:, :, None, None], columns[:, None, :, None]


def _norm(change: Tensor, norm: str, over: tuple[int, ...]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(change, ord=2 if norm == "l2" else 1, dim=over, keepdim=True)
    return length


def _unit(change: Tensor, norm: str) -> Tensor:
    return change / (1e-12 + _norm(change, norm, (1, 2, 3)))
