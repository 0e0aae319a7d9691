"""Fast adaptive boundary: the closest image on the other side. Croce & Hein, ICML 2020, https://arxiv.org/abs/1907.02044, algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from robustbench_cv.adversary.constraints.hyperplane_projection import DUAL, ORDER, project_onto_hyperplane
from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.types import ClassTarget, Logits, Target


@dataclass(frozen=True, kw_only=True)
class FAB(Optimizer):
    """Steps to the boundary as a plane, from the iterate and from the clean image, mixed; then a little back if the class has changed.

    norm: which distance is made small. targeted: the one boundary that the objective (a targeted margin) is zero on; else the nearest of
    all classes' boundaries, at one backward pass a wrong class. eta: how far beyond the plane; most: of the share of the clean image's own
    projection (alpha_max); back: what is left of the change of a misclassified iterate (beta); all three as in the authors' code.
    halfway: begin half way between the clean image and the start.
    """

    norm: str
    targeted: bool
    eta: float = 1.05
    most: float = 0.1
    back: float = 0.9
    halfway: bool = False
    may_leave_ball: ClassVar[bool] = True

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        return None

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: State) -> tuple[Tensor, State]:
        x0 = problem.x0
        if self.halfway and problem.step == 0:
            theta = (x0 + theta) / 2
        gap, normal = self._boundary(problem, theta)
        ahead = project_onto_hyperplane(self.norm, theta, normal, gap)
        across = project_onto_hyperplane(self.norm, x0, normal, gap + (normal * (x0 - theta)).flatten(1).sum(dim=1))
        lengths = [torch.linalg.vector_norm(d.flatten(1), ord=ORDER[self.norm], dim=1).clamp(min=1e-8) for d in (ahead, across)]
        share = (lengths[0] / (lengths[0] + lengths[1])).clamp(max=self.most).reshape(-1, 1, 1, 1)
        moved = ((theta + self.eta * ahead) * (1 - share) + (x0 + self.eta * across) * share).clamp(0, 1)
        problem.value(moved)
        return torch.where(problem.broken_samples.reshape(-1, 1, 1, 1), x0 + self.back * (moved - x0), moved), state

    def _boundary(self, problem: Problem[Any, Any], theta: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest plane: the objective's value there (N,), and its gradient (N, 3, H, W)."""
        if self.targeted:
            return problem.value_and_grad(theta)
        gaps, normals = problem.value_and_grads(theta, leads)
        steepness = torch.linalg.vector_norm(normals.flatten(2), ord=DUAL[self.norm], dim=2)
        nearest = (gaps.abs() / (steepness + 1e-12)).argmin(dim=1)
        row = torch.arange(len(theta), device=theta.device)
        return gaps[row, nearest], normals[row, nearest]


def leads(raw: Logits, goals: Sequence[Target]) -> Tensor:
    """z_k - z_y for every wrong class k: (N, K - 1)."""
    labels = torch.tensor([cast(ClassTarget, goal).label for goal in goals], device=raw.values.device)[:, None]
    others = torch.arange(raw.values.shape[1] - 1, device=labels.device).expand(len(labels), -1)
    return raw.values.gather(1, others + (others >= labels)) - raw.values.gather(1, labels)
