"""Projected gradient ascent; and random steps of the same length, its control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from robustbench_cv.adversary.gradient_transforms import State, Transform
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem


@dataclass(frozen=True)
class Ascent(Optimizer):
    """theta <- project(theta + move(gradient)): one forward and one backward pass a step."""

    move: Transform

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        return self.move.init(theta)

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: State) -> tuple[Tensor, State]:
        _, grad = problem.value_and_grad(theta)
        move, state = self.move.update(grad, state)
        return problem.move_theta(theta, move), state


@dataclass(frozen=True)
class RandomSteps(Optimizer):
    """A full-radius step in a random direction from the clean image; the model is not asked. For controls.

    In Linf the direction is a random sign for each value, the largest noise of that size.
    """

    @property
    def queries_per_step(self) -> int | None:
        return 0

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        return None

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: State) -> tuple[Tensor, State]:
        noise = problem.victim.noise.fork(f"step {problem.step}")
        direction = problem.steepest(noise.normal(tuple(theta.shape[1:]), theta.device).to(theta))
        return problem.project(problem.start("clean") + problem.radius * direction), state
