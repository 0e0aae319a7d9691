"""Differential evolution, and the few free pixels that it was first sent to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from robustbench_cv.adversary.constraints import Constraint
from robustbench_cv.adversary.optimizers import Optimizer
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import Target


class _State(NamedTuple):
    parents: Tensor
    """(N, P, ...): the generation that children are made of."""
    values: Tensor
    """(N, P) of the parents, -inf where not asked yet."""
    heirs: Tensor
    """(N, P, ...): the generation that is being filled."""
    heir_values: Tensor


@dataclass(frozen=True)
class DifferentialEvolution(Optimizer):
    """Storn & Price 1997, rand/1 without crossover: child = a + factor (b - c) of three other members; it replaces its parent if better.

    One query a step: `population` steps ask the first generation, drawn at random inside the constraint, and as many each later one. A
    generation takes over as a whole. Children outside the constraint are projected onto it (project choice). Values only.
    """

    population: int
    factor: float = 0.5

    def init(self, problem: Problem[Any], theta: Tensor) -> _State:
        members = torch.stack([problem.start("random", f"member {i}") for i in range(self.population)], dim=1)
        nothing = torch.full(members.shape[:2], -torch.inf, dtype=members.dtype, device=members.device)
        return _State(members, nothing, members.clone(), nothing.clone())

    def step(self, problem: Problem[Any], theta: Tensor, state: _State) -> tuple[Tensor, _State]:
        i = problem.step % self.population
        if i == 0 and problem.step:
            state = _State(state.heirs, state.heir_values, state.heirs.clone(), state.heir_values.clone())
        child = state.parents[:, i] if problem.step < self.population else problem.project(self._child(problem, state, i))
        values = problem.value(child).to(state.values)
        better = values > state.values[:, i]
        state.heirs[:, i] = child.where(better.reshape(-1, *[1] * (child.dim() - 1)), state.heirs[:, i])
        state.heir_values[:, i] = values.where(better, state.heir_values[:, i])
        best = state.heir_values.argmax(dim=1)
        return state.heirs[torch.arange(len(best)), best], state

    def _child(self, problem: Problem[Any], state: _State, i: int) -> Tensor:
        order = problem.victim.noise.fork(f"child {problem.step}").uniform((self.population,), state.parents.device)
        order[:, i] = 2.0
        a, b, c = order.argsort(dim=1)[:, :3].unbind(1)
        row = torch.arange(len(order))
        child: Tensor = state.parents[row, a] + self.factor * (state.parents[row, b] - state.parents[row, c])
        return child


@dataclass(frozen=True)
class Pixels(Constraint):
    """Any colour at up to `radius` pixels, anywhere; nothing else moves. theta is (N, radius, 5): row, column, red, green, blue, in [0, 1].

    Row and column are shares of the height and width. Of two entries at one place the later one holds. Only colours have a gradient.
    """

    radius: float
    theta_is_picture: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.radius < 1 or self.radius != int(self.radius):
            raise UserError(f"pixels={self.radius!r} must be a whole number from 1 up")

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> Pixels:
        return self

    def start(self, x0: Tensor, noise: Noise | None) -> Tensor:
        """Uniform places, colours N(1/2, 1/2) cut to [0, 1], as in Su et al.; None gives the first pixel its own colour."""
        count = int(self.radius)
        if noise is None:
            return torch.cat([x0.new_zeros(len(x0), 2), x0[:, :, 0, 0]], dim=1)[:, None].repeat(1, count, 1)
        places = noise.fork("places").uniform((count, 2), x0.device)
        colours = 0.5 + 0.5 * noise.fork("colours").normal((count, 3), x0.device)
        return self.project(x0, torch.cat([places, colours], dim=2).to(x0))

    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        """Uniform places, each channel 0 or 1."""
        theta = self.start(x0, noise)
        return torch.cat([theta[..., :2], theta[..., 2:].round()], dim=2)

    def apply(self, x0: Tensor, theta: Tensor) -> Tensor:
        size = torch.tensor(x0.shape[-2:], device=x0.device)
        places = torch.minimum((theta[..., :2].detach() * size).long(), size - 1)
        batch, channels = torch.arange(len(x0), device=x0.device)[:, None], torch.arange(3, device=x0.device)
        x = x0
        for place, colour in zip(places.unbind(1), theta[..., 2:].unbind(1), strict=True):
            x = torch.index_put(x, (batch, channels, place[:, :1], place[:, 1:]), colour)
        return x

    def project(self, x0: Tensor, theta: Tensor) -> Tensor:
        return theta.clamp(0, 1)

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        """How many pixels changed."""
        return (x != x0).any(dim=1).flatten(1).sum(dim=1).to(x0)
