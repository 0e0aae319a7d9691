"""Searches for the smallest change: DeepFool's steps to the nearest boundary, and Carlini and Wagner's trade of length against success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from robustbench_cv.adversary.constraints.hyperplane_projection import DUAL
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.adversary.transforms import State
from robustbench_cv.types import ClassTarget, Logits, Target


@dataclass(frozen=True)
class DeepFool(Optimizer):
    """Step by step onto the nearest linearised boundary, until the class changes (Moosavi-Dezfooli et al., CVPR 2016, algorithm 2).

    The boundaries are those to the likeliest `candidates` - 1 wrong classes, of the current image (the authors' code: of the clean one).
    overshoot: the sum of all steps is lengthened by it. A sample leaves the batch once its class changes.
    """

    norm: str
    candidates: int = 10
    overshoot: float = 0.02
    may_leave_ball: ClassVar[bool] = True

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        return torch.zeros_like(theta)

    def step(self, problem: Problem[Any, Any], theta: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        gaps, normals = problem.value_and_grads(theta, self._leads)
        broken = problem.broken
        lengths = torch.linalg.vector_norm(normals.flatten(2), ord=DUAL[self.norm], dim=2).clamp(min=1e-12)
        nearest = (gaps.abs() / lengths).argmin(dim=1)
        row = torch.arange(len(theta), device=theta.device)
        # A little over the gap, as in the authors' code: at a gap of zero nothing would move.
        way = (gaps[row, nearest].abs() + 1e-4) / lengths[row, nearest]
        normal = normals[row, nearest]
        unit = normal.sign() if self.norm == "linf" else normal / _column(lengths[row, nearest])
        total = total + _column(way * ~broken) * unit
        moved = torch.where(_column(broken), theta, (problem.x0 + (1 + self.overshoot) * total).clamp(0, 1))
        # A look costs one forward pass, and saves the samples that are done the next step's nine backward passes.
        problem.value(moved)
        problem.retire(problem.broken)
        return moved, total

    def _leads(self, raw: Logits, goals: Sequence[Target]) -> Tensor:
        labels = torch.tensor([cast(ClassTarget, goal).label for goal in goals], device=raw.values.device)[:, None]
        others = raw.values.scatter(1, labels, -torch.inf)
        likeliest = others.topk(min(self.candidates, others.shape[1]) - 1, dim=1).values
        return likeliest - raw.values.gather(1, labels)


class _Trade(NamedTuple):
    w: Tensor
    first: Tensor
    second: Tensor
    """Adam's two moments."""
    weight: Tensor
    low: Tensor
    high: Tensor
    """The weight c of success, and between which bounds it is searched."""
    reached: Tensor
    """Whether the current weight has been enough."""


@dataclass(frozen=True)
class CarliniWagner(Optimizer):
    """Adam on |x - x0|^2 + c max(confidence - margin, 0), x = (tanh(w) + 1) / 2 (Carlini & Wagner, S&P 2017, section VI).

    `searches` runs of `problem.steps / searches` steps each, all from the clean image: c rises tenfold until it is enough, then halves the
    interval. Constants of the authors' code; it also ends a run that stalls, here each takes all its steps.
    """

    searches: int = 9
    rate: float = 0.01
    weight: float = 1e-3
    confidence: float = 0.0
    may_leave_ball: ClassVar[bool] = True

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        number = torch.zeros(len(theta), device=theta.device, dtype=theta.dtype)
        return _Trade(
            *self._fresh(problem), weight=number + self.weight, low=number, high=torch.full_like(number, 1e10), reached=number.bool()
        )

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _Trade) -> tuple[Tensor, _Trade]:
        period = max(problem.steps // self.searches, 1)
        if problem.step and problem.step % period == 0:
            state = self._search_on(problem, state)
        at = problem.step % period + 1
        tanh = state.w.tanh()
        x = ((tanh + 1) / 2).clamp(0, 1)
        margin, rise = problem.value_and_grad(x)
        short = margin < self.confidence if self.confidence else ~problem.broken
        downhill = 2 * (x - problem.x0) - _column(state.weight * short) * rise
        slope = downhill * (1 - tanh.square()) / 2
        first = 0.9 * state.first + 0.1 * slope
        second = 0.999 * state.second + 0.001 * slope.square()
        w = state.w - self.rate * (first / (1 - 0.9**at)) / ((second / (1 - 0.999**at)).sqrt() + 1e-8)
        state = state._replace(w=w, first=first, second=second, reached=state.reached | ~short)
        return ((w.tanh() + 1) / 2).clamp(0, 1), state

    def _search_on(self, problem: Problem[Any, Any], state: _Trade) -> _Trade:
        high = torch.where(state.reached, torch.minimum(state.high, state.weight), state.high)
        low = torch.where(state.reached, state.low, torch.maximum(state.low, state.weight))
        weight = torch.where(high < 1e9, (low + high) / 2, state.weight * 10)
        w, first, second = self._fresh(problem)
        return _Trade(w, first, second, weight, low, high, torch.zeros_like(state.reached))

    def _fresh(self, problem: Problem[Any, Any]) -> tuple[Tensor, Tensor, Tensor]:
        # Just inside the box, where atanh is finite.
        w = ((2 * problem.x0 - 1) * 0.999999).atanh()
        return w, torch.zeros_like(w), torch.zeros_like(w)


def _column(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)
