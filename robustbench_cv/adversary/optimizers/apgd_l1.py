"""Auto-PGD in L1: sparse steps that learn how sparse. Croce & Hein, "Mind the box", ICML 2021, https://arxiv.org/abs/2103.01208"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from robustbench_cv.adversary.constraints.l1_projection import project_onto_l1_ball, sparse_sign
from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem


class _State(NamedTuple):
    grad: Tensor
    best: Tensor
    best_grad: Tensor
    best_value: Tensor
    step_size: Tensor
    share: Tensor
    """Of the coordinates that a step moves."""
    changed: Tensor
    """Coordinates that the best point had changed at the last checkpoint."""


@dataclass(frozen=True)
class APGDL1(Optimizer):
    """Steps of the radius along the signs of the largest gradients, shrinking to a tenth where the best point stays as sparse as it was.

    shrinking: begin in three times the radius for 0.3 of the steps, then in twice for 0.3 (AutoAttack's L1 version): each stage begins at
    the best point of the one before, projected, and only points within the radius itself break a sample. The constants are those of the
    authors' code: checkpoints every 0.04 of a stage's steps, the share of coordinates the best point's over 1.5 (0.2 at first).
    """

    shrinking: bool = True
    sparser: float = 1.5
    least: float = 0.1
    may_leave_ball: ClassVar[bool] = True

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        empty = torch.zeros_like(theta)
        number = torch.zeros(len(theta), device=theta.device, dtype=theta.dtype)
        return _State(empty, best=theta, best_grad=empty, best_value=number, step_size=number, share=number, changed=number)

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _State) -> tuple[Tensor, _State]:
        begin, end, radius = self._stage(problem)
        if problem.step == begin:
            theta, state = self._begin(problem, theta, state, radius)
        moved = theta + _column(state.step_size) * sparse_sign(state.grad, state.share)
        theta = project_onto_l1_ball(problem.x0, moved, radius)
        if problem.is_last_step:
            value, grad = problem.value(theta), state.grad
        else:
            value, grad = problem.value_and_grad(theta)
        better = value > state.best_value
        state = state._replace(
            grad=grad,
            best=torch.where(_column(better), theta, state.best),
            best_grad=torch.where(_column(better), grad, state.best_grad),
            best_value=torch.where(better, value, state.best_value),
        )
        period = max(int(0.04 * (end - begin)), 1)
        if (problem.step + 1 - begin) % period == 0:
            theta, state = self._check(problem, theta, state, radius)
        return (state.best if problem.is_last_step else theta), state

    def _stage(self, problem: Problem[Any, Any]) -> tuple[int, int, float]:
        """First step, end and radius of the stage that this step is in."""
        if not self.shrinking:
            return 0, problem.steps, problem.radius
        third = math.ceil(0.3 * problem.steps)
        bounds = [0, min(third, problem.steps), min(2 * third, problem.steps), problem.steps]
        stage = max(i for i in range(3) if bounds[i] <= problem.step)
        return bounds[stage], bounds[stage + 1], (3 - stage) * problem.radius

    def _begin(self, problem: Problem[Any, Any], theta: Tensor, state: _State, radius: float) -> tuple[Tensor, _State]:
        if self.shrinking:
            wide = problem.x0 + problem.victim.noise.fork("wide").normal(tuple(theta.shape[1:]), theta.device).to(theta)
            theta = project_onto_l1_ball(problem.x0, wide if problem.step == 0 else state.best, radius)
        value, grad = problem.value_and_grad(theta)
        changed = _changed_value_count(problem, theta)
        size = theta[0].numel()
        share = changed / size / self.sparser if self.shrinking else torch.full_like(value, 0.2)
        return theta, _State(
            grad=grad,
            best=theta,
            best_grad=grad,
            best_value=value,
            step_size=torch.full_like(value, radius),
            share=share,
            changed=changed if self.shrinking else torch.full_like(value, size),
        )

    def _check(self, problem: Problem[Any, Any], theta: Tensor, state: _State, radius: float) -> tuple[Tensor, _State]:
        changed = _changed_value_count(problem, state.best)
        sparser = changed / state.changed.clamp(min=1) < 0.95
        shrunk = (state.step_size / self.sparser).clamp(self.least * radius, radius)
        state = state._replace(
            grad=torch.where(_column(sparser), state.best_grad, state.grad),
            step_size=torch.where(sparser, torch.full_like(shrunk, radius), shrunk),
            share=changed / theta[0].numel() / self.sparser,
            changed=changed,
        )
        return torch.where(_column(sparser), state.best, theta), state


def _changed_value_count(problem: Problem[Any, Any], theta: Tensor) -> Tensor:
    return (theta != problem.x0).flatten(1).sum(dim=1).to(theta)


def _column(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)
