"""Momentum iterative FGSM. Dong et al., CVPR 2018, https://arxiv.org/abs/1710.06081"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, Linf
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.gradient_transforms import chain, l1_mean, momentum, scale, steepest
from robustbench_cv.adversary.objectives.classification import cross_entropy
from robustbench_cv.adversary.optimizers.step_size import require_step
from robustbench_cv.arguments import Budget, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="MI-FGSM", paper="arXiv:1710.06081", task="classification")
def mi_fgsm(eps: Budget = 16 / 255, steps: PositiveInt = 10, decay: NonNegativeNumber = 1.0, alpha: Budget | None = None) -> Attack[Logits]:
    """PGD from the clean image whose sign step follows an accumulated, L1-normalised gradient. alpha: eps / steps, as in the paper."""
    ball = Linf(eps)
    move = chain(l1_mean(), momentum(decay), steepest(ball), scale(require_step(ball, alpha, steps, reach=1.0)))
    return Attack(
        name="mi-fgsm",
        objective=cross_entropy(),
        success=misclassified(),
        constraint=ball,
        optimizer=Ascent(move),
        steps=steps,
        start="clean",
        keep="last",
    )
