"""Searches for the smallest change: DeepFool's steps to the nearest boundary, and Carlini and Wagner's trade of length against success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from robustbench_cv.adversary.constraints.hyperplane_projection import DUAL
from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem
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
        broken = problem.broken_samples
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
        problem.retire(problem.broken_samples)
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
    search: Tensor
    taken: Tensor
    """Which of the searches a sample is in, and how many steps of it are done: int64 (N,)."""
    falls: Tensor
    checked: Tensor
    """(N, 3) now and at the last check: the objective, its lowest, and the smallest squared length that broke the sample."""
    stalls: Tensor
    """Checks one after the other at which none of these had fallen: int64 (N,)."""


CHECKS, PROGRESS, STALLS = 10, 0.9999, 2
"""A search is looked at ten times; something falls where it is below 0.9999 of what it was (the authors' code). Two looks in a row at which
nothing falls end it (project choice: the authors' code ends at the first at which the objective of the batch has not fallen, after a
thousand steps; after ten, a sample is often on its way back from its first overshoot).
"""


@dataclass(frozen=True)
class CarliniWagner(Optimizer):
    """Adam on |x - x0|^2 + c max(confidence - margin, 0), x = (tanh(w) + 1) / 2 (Carlini & Wagner, S&P 2017, section VI).

    `searches` runs of `problem.steps / searches` steps each, all from the clean image: c rises tenfold until it is enough, then halves the
    interval. Constants of the authors' code. A sample that is misclassified as it is leaves at once. abort_early: each sample goes on to
    its next search when the one that it is in stalls (see STALLS), whatever the others in its batch do.
    """

    searches: int = 9
    rate: float = 0.01
    weight: float = 1e-3
    confidence: float = 0.0
    abort_early: bool = True
    may_leave_ball: ClassVar[bool] = True

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        number = torch.zeros(len(theta), device=theta.device, dtype=theta.dtype)
        count = torch.zeros(len(theta), device=theta.device, dtype=torch.int64)
        falls = number.new_full((len(theta), 3), torch.inf)
        bounds = number + self.weight, number, torch.full_like(number, 1e10)
        return _Trade(*self._fresh(problem), *bounds, number.bool(), count, count, falls, falls, count)

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _Trade) -> tuple[Tensor, _Trade]:
        period = max(problem.steps // self.searches, 1)
        tanh = state.w.tanh()
        begins = state.taken == 0
        x = torch.where(_column(begins), problem.x0, ((tanh + 1) / 2).clamp(0, 1))
        margin, rise = problem.value_and_grad(x)
        broken = problem.broken_samples
        short = margin < self.confidence if self.confidence else ~broken
        downhill = 2 * (x - problem.x0) - _column(state.weight * short) * rise
        w, first, second = self._adam(state, downhill * (1 - tanh.square()) / 2)
        state = self._looked_at(state, (x - problem.x0).flatten(1).square().sum(dim=1), margin, broken, max(period // CHECKS, 1))
        state = state._replace(w=w, first=first, second=second, reached=state.reached | ~short, taken=state.taken + 1)
        over = state.taken == period
        if self.abort_early:
            over = over | (state.stalls >= STALLS)
        if bool(over.any()):
            state = self._search_on(problem, state, over)
        # What is misclassified as it is has no smaller change.
        done = (begins & broken) | (state.search == self.searches)
        if bool(done.any()) and not problem.is_last_step:
            problem.retire(done)
        return ((state.w.tanh() + 1) / 2).clamp(0, 1), state

    def _adam(self, state: _Trade, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        at = (state.taken + 1).double()
        first = 0.9 * state.first + 0.1 * slope
        second = 0.999 * state.second + 0.001 * slope.square()
        mean, square = (m / _column(1 - decay**at).to(m) for m, decay in ((first, 0.9), (second, 0.999)))
        return state.w - self.rate * mean / (square.sqrt() + 1e-8), first, second

    def _looked_at(self, state: _Trade, square: Tensor, margin: Tensor, broken: Tensor, span: int) -> _Trade:
        objective = square + state.weight * (self.confidence - margin).clamp(min=0)
        lowest = torch.minimum(state.falls[:, 1], objective)
        smallest = torch.minimum(state.falls[:, 2], square.where(broken, torch.inf))
        falls = torch.stack([objective, lowest, smallest], dim=1)
        checks = state.taken % span == 0
        stalls = torch.where((falls < PROGRESS * state.checked).any(dim=1), 0, state.stalls + 1)
        return state._replace(
            falls=falls,
            checked=torch.where(checks[:, None], falls, state.checked),
            stalls=torch.where(checks, stalls, state.stalls),
        )

    def _search_on(self, problem: Problem[Any, Any], state: _Trade, over: Tensor) -> _Trade:
        """The next search of those samples whose last one is over; after their last, they stay where they are."""
        high = torch.where(over & state.reached, torch.minimum(state.high, state.weight), state.high)
        low = torch.where(over & ~state.reached, torch.maximum(state.low, state.weight), state.low)
        weight = torch.where(high < 1e9, (low + high) / 2, state.weight * 10)
        begun = _column(over & (state.search < self.searches - 1))
        w, first, second = (torch.where(begun, new, old) for new, old in zip(self._fresh(problem), state[:3], strict=True))
        return _Trade(
            w,
            first,
            second,
            torch.where(over, weight, state.weight),
            low,
            high,
            reached=state.reached & ~over,
            search=state.search + over,
            taken=state.taken.where(~over, 0),
            falls=state.falls.masked_fill(over[:, None], torch.inf),
            checked=state.checked.masked_fill(over[:, None], torch.inf),
            stalls=state.stalls.where(~over, 0),
        )

    def _fresh(self, problem: Problem[Any, Any]) -> tuple[Tensor, Tensor, Tensor]:
        # Just inside the box, where atanh is finite.
        w = ((2 * problem.x0 - 1) * 0.999999).atanh()
        return w, torch.zeros_like(w), torch.zeros_like(w)


def _column(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)
