"""Differential evolution, as the one-pixel attack uses it. Su, Vargas, Sakurai, 2019, https://arxiv.org/abs/1710.08864"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem


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

    @property
    def queries_per_step(self) -> int | None:
        return 1

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> _State:
        members = torch.stack([problem.start("random", f"member {i}") for i in range(self.population)], dim=1)
        nothing = torch.full(members.shape[:2], -torch.inf, dtype=members.dtype, device=members.device)
        return _State(members, nothing, members.clone(), nothing.clone())

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _State) -> tuple[Tensor, _State]:
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

    def _child(self, problem: Problem[Any, Any], state: _State, i: int) -> Tensor:
        order = problem.victim.noise.fork(f"child {problem.step}").uniform((self.population,), state.parents.device)
        order[:, i] = 2.0
        a, b, c = order.argsort(dim=1)[:, :3].unbind(1)
        row = torch.arange(len(order))
        child: Tensor = state.parents[row, a] + self.factor * (state.parents[row, b] - state.parents[row, c])
        return child
