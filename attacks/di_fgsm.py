"""Diverse inputs iterative FGSM. Xie, Zhang, Zhou, Bai, Wang, Ren, Yuille, CVPR 2019, https://arxiv.org/abs/1803.06978"""

from __future__ import annotations

from robustbench_cv.adversary import Attack
from robustbench_cv.adversary.optimizers.nesterov import momentum_iterative
from robustbench_cv.arguments import Budget, Fraction, NonNegativeNumber, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="DI-FGSM", paper="arXiv:1803.06978", task="classification")
def di_fgsm(
    eps: Budget = 16 / 255,
    steps: PositiveInt = 10,
    decay: NonNegativeNumber = 0.0,
    alpha: Budget | None = None,
    probability: Fraction = 0.5,
    least: PositiveFraction = 0.9,
    kernel: PositiveInt = 1,
) -> Attack[Logits]:
    """BIM on randomly resized and padded views: with `probability` the image shrinks to `least` of its side or more and moves.

    decay=1: the paper's M-DI2-FGSM. kernel: with ti-fgsm's smoothing as well. alpha: eps / steps. Success is judged on the image itself.
    """
    return momentum_iterative("di-fgsm", eps, steps, decay, alpha, diversity=probability, least=least, kernel=kernel)
