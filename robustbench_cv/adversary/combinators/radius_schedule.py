"""Searches in balls that shrink to the budget. Croce, Singh, Hein, ECCV 2024, https://arxiv.org/abs/2306.12941"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple

import msgspec
from torch import Tensor

from robustbench_cv.adversary.attack import Attack
from robustbench_cv.adversary.attack_facts import AttackFacts
from robustbench_cv.adversary.attack_references import Reference
from robustbench_cv.adversary.constraints.lp import Linf, ball
from robustbench_cv.adversary.criteria import Success
from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.objective import G, Objective
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.optimizers.apgd import APGD
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.adversary.victim import SearchResult, Victim
from robustbench_cv.types import R

FACTORS, SHARES = (2.0, 1.5, 1.0), (0.3, 0.3)
"""Radii of the stages in units of eps, and which share of the steps each but the last takes."""


@dataclass(frozen=True)
class RadiusSchedule(Generic[R, G]):
    """Attacks one after the other, each from the image that the one before it kept, projected into its own ball; the last one counts."""

    name: str
    stages: tuple[Attack[R, G], ...]

    @property
    def success(self) -> Success:
        return self.stages[-1].success

    @property
    def reference(self) -> Reference[G]:
        return self.stages[-1].reference

    @property
    def accepts(self) -> type[R]:
        return self.stages[-1].accepts

    @property
    def facts(self) -> AttackFacts:
        """One search through all stages, in the last one's budget."""
        return msgspec.structs.replace(self.stages[-1].facts, steps=sum(stage.steps for stage in self.stages))

    @property
    def constraint(self) -> Any:
        return self.stages[-1].constraint

    def search(self, victim: Victim[R, G], /) -> SearchResult:
        result = self.stages[0].search(victim)
        for i, stage in enumerate(self.stages[1:], start=1):
            begun = replace(stage, optimizer=_StartFrom(stage.optimizer, result.images), start="clean")
            after = begun.search(victim.fork(str(i)))
            after.forwards += result.forwards
            after.backwards += result.backwards
            after.zero_grads += result.zero_grads
            after.non_finite |= result.non_finite
            result = after
        return result


def shrinking_radius(name: str, objective: Objective[R], success: Success, norm: str, eps: float, steps: int) -> RadiusSchedule[R]:
    """APGD in balls of 2, 1.5 and 1 eps over 30, 30 and 40 % of the steps, each a fresh run; the first starts at a random point."""
    first, second = (int(share * steps) for share in SHARES)
    counts: Sequence[int] = (first, second, steps - first - second)
    stages = []
    for factor, count in zip(FACTORS, counts, strict=True):
        # A wider ball than the whole range is the whole range.
        radius = min(factor * eps, 1.0) if isinstance(ball(norm, eps), Linf) else factor * eps
        stages.append(
            Attack(
                name=name,
                objective=objective,
                success=success,
                constraint=ball(norm, radius),
                optimizer=APGD(),
                steps=count,
                restarts=1,
                start="random",
                keep="worst",
            )
        )
    return RadiusSchedule(name, tuple(stages))


class _State(NamedTuple):
    first: Tensor
    inner: State


@dataclass(frozen=True, eq=False)
class _StartFrom(Optimizer):
    """Another optimizer, from given images (N, 3, H, W)."""

    optimizer: Optimizer
    images: Tensor

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        first = problem.project(self.images)
        return _State(first, self.optimizer.init(problem, first))

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _State) -> tuple[Tensor, State]:
        at = state.first if problem.step == 0 else theta
        moved, inner = self.optimizer.step(problem, at, state.inner)
        return moved, state._replace(inner=inner)
