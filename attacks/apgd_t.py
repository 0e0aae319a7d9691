"""Targeted Auto-PGD. Croce & Hein, ICML 2020, https://arxiv.org/abs/2003.01690"""

from __future__ import annotations

from robustbench_cv.adversary.combinators.autoattack import auto_pgd_targeted
from robustbench_cv.adversary.combinators.targeted import Targeted
from robustbench_cv.arguments import Length, PositiveInt
from robustbench_cv.catalogue import attack


@attack(title="APGD-T", paper="arXiv:2003.01690", task="classification")
def apgd_t(norm: str = "linf", eps: Length = 8 / 255, steps: PositiveInt = 100, targets: PositiveInt = 9) -> Targeted:
    """APGD on the targeted DLR loss towards each of the likeliest `targets` wrong classes in turn; any wrong class breaks the sample.

    A model of K classes has K - 1 targets. The loss of the paper needs 4 classes: below, see `targeted_dlr` for what stands in.
    """
    return auto_pgd_targeted("apgd-t", norm, eps, steps, targets)
