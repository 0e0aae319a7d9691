"""Basic iterative method. Kurakin, Goodfellow, Bengio, ICLR workshop 2017, https://arxiv.org/abs/1607.02533"""

from __future__ import annotations

import math

from robustbench_cv.adversary import Ascent, Attack, Linf
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.gradient_transforms import chain, scale, steepest
from robustbench_cv.adversary.objectives.classification import cross_entropy
from robustbench_cv.adversary.optimizers.step_size import require_step
from robustbench_cv.arguments import Budget, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="BIM", paper="arXiv:1607.02533", task="classification")
def bim(eps: Budget = 8 / 255, steps: PositiveInt | None = None, alpha: Budget = 1 / 255) -> Attack[Logits]:
    """Sign steps of one grey level from the clean image: PGD without a random start.

    steps: by default the smaller of e + 4 and 1.25 e, rounded down, e = 255 eps, as reported of the paper (its text was not at hand to
    check the rule); at least 1. The image is settled once it is misclassified; the paper takes all steps.
    """
    ball = Linf(eps)
    count = steps if steps is not None else max(math.floor(min(255 * eps + 4, 1.25 * 255 * eps) + 1e-9), 1)
    move = chain(steepest(ball), scale(require_step(ball, alpha, count)))
    return Attack(
        name="bim",
        objective=cross_entropy(),
        success=misclassified(),
        constraint=ball,
        optimizer=Ascent(move),
        steps=count,
        start="clean",
        keep="first",
    )
