"""Translation-invariant FGSM. Dong, Pang, Su, Zhu, CVPR 2019, https://arxiv.org/abs/1904.02884"""

from __future__ import annotations

from robustbench_cv.adversary import Attack
from robustbench_cv.adversary.optimizers.nesterov import momentum_iterative
from robustbench_cv.arguments import Budget, Fraction, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="TI-FGSM", paper="arXiv:1904.02884", task="classification")
def ti_fgsm(
    eps: Budget = 16 / 255,
    steps: PositiveInt = 10,
    decay: NonNegativeNumber = 1.0,
    alpha: Budget | None = None,
    kernel: PositiveInt = 15,
    diversity: Fraction = 0.0,
) -> Attack[Logits]:
    """MI-FGSM on a gradient blurred by a Gaussian of `kernel` pixels: the gradient averaged over shifts of the image.

    15 pixels suit the paper's 299; on small images take fewer. diversity: with di-fgsm's views as well. alpha: eps / steps.
    """
    return momentum_iterative("ti-fgsm", eps, steps, decay, alpha, diversity=diversity, kernel=kernel)
