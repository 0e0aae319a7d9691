"""Attacks that differ in their goal alone, on each sample at once: the few samples that are hard to break make small, slow batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustbench_cv.adversary.attack import Attack
from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.objective import G
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.adversary.victim import SearchResult, Victim
from robustbench_cv.types import R


def search_targets(attack: Attack[R, G], victim: Victim[R, G], aims: int, aimed: Callable[[G, int], G]) -> SearchResult:
    """`attack` towards each of `aims` goals of every sample at once, until one breaks it: what it found first, at the cost of all.

    aimed: (goal, which) -> goal. For attacks with keep="first" and one restart. A batch holds all aims of some samples, at most
    `victim.capacity` images or one sample's aims, so that a sample fares the same whatever is beside it.
    """
    result = SearchResult.of_clean_images(victim.x0)
    room = max((victim.capacity or len(victim.x0)) // aims, 1)
    for begin in range(0, len(victim.x0), room):
        piece = torch.arange(begin, min(begin + room, len(victim.x0)))
        result.merge(piece, _search_all_at_once(attack, victim.select(piece), aims, aimed))
    return result


def _search_all_at_once(attack: Attack[R, G], victim: Victim[R, G], aims: int, aimed: Callable[[G, int], G]) -> SearchResult:
    n = len(victim.x0)
    family = torch.arange(n).repeat_interleave(aims)
    rows = victim.select(family)
    goals = [aimed(goal, i) for goal in victim.goals for i in range(aims)]
    noise = dataclasses.replace(rows.noise, ids=tuple(f"{name} aim {i}" for name in victim.noise.ids for i in range(aims)))
    made = dataclasses.replace(attack, optimizer=_LeaveTogether(attack.optimizer, family)).search(
        dataclasses.replace(rows, goals=goals, noise=noise)
    )
    # The first of equals: found no later than the others, and of the likelier aim.
    best = made.select(torch.arange(n) * aims + made.degree.reshape(n, aims).argmax(dim=1))
    for column in ("forwards", "backwards", "zero_grads"):
        setattr(best, column, getattr(made, column).reshape(n, aims).sum(dim=1))
    best.non_finite = made.non_finite.reshape(n, aims).any(dim=1)
    return best


class _State(NamedTuple):
    family: Tensor
    inner: State


@dataclass(frozen=True, eq=False)
class _LeaveTogether(Optimizer):
    """Another optimizer, whose rows of one family leave together as soon as one of them has won. family: int64 (N,)."""

    optimizer: Optimizer
    family: Tensor

    @property
    def may_leave_ball(self) -> bool:  # type: ignore[override]
        return self.optimizer.may_leave_ball

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        return _State(self.family.to(theta.device), self.optimizer.init(problem, theta))

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _State) -> tuple[Tensor, _State]:
        theta, inner = self.optimizer.step(problem, theta, state.inner)
        won = problem.won
        if bool(won.any()):
            problem.retire(torch.isin(state.family, state.family[won]))
        return theta, state._replace(inner=inner)
