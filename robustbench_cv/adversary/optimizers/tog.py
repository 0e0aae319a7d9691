"""The step that the TOG attacks share. Chow et al., Adversarial Objectness Gradient Attacks, IEEE TPS-ISA 2020, https://arxiv.org/abs/2004.04320

With decay=0, ten steps and the default alpha it is the paper's: steps of 2/255 along the gradient's sign, within 8/255.
"""

from __future__ import annotations

from robustbench_cv.adversary.constraints.lp import Linf
from robustbench_cv.adversary.gradient_transforms import Transform, chain, l1_mean, momentum, scale, steepest
from robustbench_cv.adversary.optimizers.step_size import require_step

STEPS = 20
"""Twice the paper's (project choice): regions are proposed anew at every step, and those that take an object's place are seen late."""


def tog_step(ball: Linf, alpha: float | None, steps: int, decay: float) -> Transform:
    """Sign steps along the sum of the gradients, older ones fading by `decay` a step (mi-fgsm's; 0 is the paper's, without a memory).

    alpha: by default eps / 4, as the paper's 2/255 at 8/255; of fewer than ten steps 2.5 eps / steps, so that they reach the ball's edge.
    """
    default = max(0.25, 2.5 / max(steps, 1)) * ball.radius
    length = require_step(ball, default if alpha is None else alpha, steps)
    return chain(l1_mean(), momentum(decay), steepest(ball), scale(length))
