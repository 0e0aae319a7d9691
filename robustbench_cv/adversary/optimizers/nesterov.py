"""What makes a gradient attack carry over to other models: a look ahead, varied inputs, a smoothed gradient. Parts of one attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robustbench_cv.adversary.attack import Attack
from robustbench_cv.adversary.constraints.lp import Linf
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.gradient_transforms import State, Transform, chain, gaussian_smoothing, l1_mean, momentum, scale, steepest
from robustbench_cv.adversary.objectives.classification import cross_entropy
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.optimizers.ascent import Ascent
from robustbench_cv.adversary.optimizers.step_size import require_step
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.adversary.random_views import resized_and_padded
from robustbench_cv.types import Logits


@dataclass(frozen=True)
class Nesterov(Optimizer):
    """Nesterov's: the gradient is taken at theta + alpha decay g, g the momentum so far (Lin et al., ICLR 2020, equations 6 to 8).

    That point may leave the ball, as in the paper, but not [0, 1]; only theta is judged. unit: what a gradient goes through before it is
    added to g, stateless. With `l1_mean`, as in the authors' code, g is of the order of a step; the paper's sum would look nowhere.
    """

    unit: Transform
    region: Linf
    alpha: float
    decay: float

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State:
        return torch.zeros_like(theta)

    def step(self, problem: Problem[Any, Any], theta: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        _, grad = problem.value_and_grad((theta + self.alpha * self.decay * total).clamp(0, 1))
        unit, _ = self.unit.update(grad, self.unit.init(theta))
        total = self.decay * total + unit
        return problem.project(theta + self.alpha * self.region.steepest(total)), total


def momentum_iterative(
    name: str,
    eps: float,
    steps: int,
    decay: float,
    alpha: float | None,
    *,
    ahead: bool = False,
    diversity: float = 0.0,
    least: float = 0.9,
    kernel: int = 1,
) -> Attack[Logits]:
    """MI-FGSM with any of the three: `ahead`, views with probability `diversity`, a Gaussian of side `kernel` over the gradient."""
    ball = Linf(eps)
    step = require_step(ball, alpha, steps, reach=1.0)
    unit = chain(gaussian_smoothing(kernel), l1_mean()) if kernel != 1 else l1_mean()
    climb: Optimizer = Nesterov(unit, ball, step, decay) if ahead else Ascent(chain(unit, momentum(decay), steepest(ball), scale(step)))
    view = resized_and_padded(least, diversity) if diversity > 0 else None
    return Attack(
        name=name,
        objective=cross_entropy(),
        success=misclassified(),
        constraint=ball,
        optimizer=climb,
        steps=steps,
        start="clean",
        keep="last",
        view=view,
    )
