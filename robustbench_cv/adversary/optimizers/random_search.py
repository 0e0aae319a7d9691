"""Searches over a few parameters that ask for values only: random draws and grids."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem


@dataclass(frozen=True)
class RandomDraws(Optimizer):
    """A new random theta at each step, whatever came of the last: with keep="first" or "worst" the worst of `steps`. Values only."""

    @property
    def queries_per_step(self) -> int | None:
        return 1

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        return None

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: State) -> tuple[Tensor, State]:
        return _evaluate(problem, problem.start("random", f"draw {problem.step}")), state


@dataclass(frozen=True)
class GridSearch(Optimizer):
    """The given thetas one after the other, one a step: an exhaustive search. points: rows of theta, in units of the radius."""

    points: tuple[tuple[float, ...], ...]

    @property
    def queries_per_step(self) -> int | None:
        return 1

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        return None

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: State) -> tuple[Tensor, State]:
        point = problem.radius * torch.tensor(self.points[problem.step]).to(theta)
        return _evaluate(problem, problem.project(point.expand_as(theta))), state


def _evaluate(problem: Problem[Any, Any], theta: Tensor) -> Tensor:
    """theta, asked for, except at the end: the loop judges the last one itself."""
    if not problem.is_last_step:
        problem.value(theta)
    return theta


def grid_points(*counts: int) -> tuple[tuple[float, ...], ...]:
    """Points of a regular grid over [-1, 1] in each coordinate, ends included.

    >>> grid_points(3, 1)
    ((-1.0, 0.0), (0.0, 0.0), (1.0, 0.0))
    """
    return tuple(itertools.product(*(([2 * i / (n - 1) - 1 for i in range(n)] if n > 1 else [0.0]) for n in counts)))
