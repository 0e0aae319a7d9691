"""Auto-PGD, the step size that halves itself. Croce & Hein, ICML 2020, algorithm 1, https://arxiv.org/abs/2003.01690"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem


class _State(NamedTuple):
    previous: Tensor
    grad: Tensor
    best: Tensor
    best_grad: Tensor
    best_value: Tensor
    step_size: Tensor
    value: Tensor
    rises: Tensor
    """How often the value rose since the last checkpoint."""
    checked_value: Tensor
    """best_value at the last checkpoint."""
    halved: Tensor
    """Whether the step size was halved at the last checkpoint; true at first, so that condition 2 cannot hold at the first one."""


@dataclass(frozen=True)
class APGD(Optimizer):
    """Momentum steps of 2 eps that halve at checkpoints without progress and then restart from the best point.

    rho: the step size halves where the value rose in at most this share of the steps since the last checkpoint (the authors' code: at
    most; the paper: less than). The last step returns the best point of each sample; which *broken* iterate is kept is Problem's business.
    """

    rho: float = 0.75
    inertia: float = 0.75

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        value, grad = problem.value_and_grad(theta)
        ones = torch.ones_like(value)
        return _State(
            previous=theta,
            grad=grad,
            best=theta,
            best_grad=grad,
            best_value=value,
            step_size=2 * problem.radius * ones,
            # The authors' code compares the first value with a table's zero, not with the start's value.
            value=torch.zeros_like(value),
            rises=torch.zeros_like(value),
            checked_value=value,
            halved=ones.bool(),
        )

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _State) -> tuple[Tensor, _State]:
        moved = self._move(problem, theta, state)
        if problem.is_last_step:
            value, grad = problem.value(moved), state.grad
        else:
            value, grad = problem.value_and_grad(moved)
        better = value > state.best_value
        state = state._replace(
            previous=theta,
            grad=grad,
            best=_rows(better, moved, state.best),
            best_grad=_rows(better, grad, state.best_grad),
            best_value=torch.where(better, value, state.best_value),
            value=value,
            rises=state.rises + (value > state.value),
        )
        if problem.is_last_step:
            return state.best, state
        period = checkpoints(problem.steps).get(problem.step + 1)
        return (moved, state) if period is None else self._check(moved, state, period)

    def _move(self, problem: Problem[Any, Any], theta: Tensor, state: _State) -> Tensor:
        stepped = problem.project(theta + _column(state.step_size, theta) * problem.steepest(state.grad))
        if problem.step == 0:
            return stepped
        return problem.project(theta + self.inertia * (stepped - theta) + (1 - self.inertia) * (theta - state.previous))

    def _check(self, theta: Tensor, state: _State, period: int) -> tuple[Tensor, _State]:
        oscillates = state.rises <= self.rho * period
        stalls = ~state.halved & (state.best_value <= state.checked_value)
        halve = oscillates | stalls
        state = state._replace(
            grad=_rows(halve, state.best_grad, state.grad),
            step_size=torch.where(halve, state.step_size / 2, state.step_size),
            rises=torch.zeros_like(state.rises),
            checked_value=state.best_value,
            halved=halve,
        )
        return _rows(halve, state.best, theta), state


def checkpoints(steps: int) -> dict[int, int]:
    """After how many steps progress is looked at, and the period that ends there.

    >>> list(checkpoints(100))
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    period, least, shrink = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)
    periods: dict[int, int] = {}
    at = period
    while at <= steps:
        periods[at] = period
        period = max(period - shrink, least)
        at += period
    return periods


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _rows(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(_column(mask, yes), yes, no)
