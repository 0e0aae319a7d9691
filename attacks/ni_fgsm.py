"""Nesterov iterative FGSM. Lin, Song, He, Wang, Hopcroft, ICLR 2020, https://arxiv.org/abs/1908.06281"""

from __future__ import annotations

from robustbench_cv.adversary import Attack
from robustbench_cv.adversary.optimizers.nesterov import momentum_iterative
from robustbench_cv.arguments import Budget, Fraction, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="NI-FGSM", paper="arXiv:1908.06281", task="classification")
def ni_fgsm(
    eps: Budget = 16 / 255,
    steps: PositiveInt = 10,
    decay: NonNegativeNumber = 1.0,
    alpha: Budget | None = None,
    diversity: Fraction = 0.0,
    kernel: PositiveInt = 1,
) -> Attack[Logits]:
    """MI-FGSM that takes its gradient where the momentum is about to lead. alpha: eps / steps. Made to transfer: see `optimizers.nesterov`.

    diversity, kernel: with di-fgsm's views and ti-fgsm's smoothing as well. The paper's scale copies of the image (SI) are not built.
    """
    return momentum_iterative("ni-fgsm", eps, steps, decay, alpha, ahead=True, diversity=diversity, kernel=kernel)
