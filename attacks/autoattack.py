"""AutoAttack. Croce & Hein, ICML 2020, https://arxiv.org/abs/2003.01690; L1: Croce & Hein, ICML 2021, https://arxiv.org/abs/2103.01208"""

from __future__ import annotations

from robustbench_cv.adversary import Ensemble
from robustbench_cv.adversary.combinators.autoattack import Version, auto_attack
from robustbench_cv.arguments import Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="AutoAttack", paper="arXiv:2003.01690", task="classification")
def autoattack(
    norm: str = "linf", eps: Length = 8 / 255, version: Version = "standard", steps: PositiveInt = 100, queries: PositiveInt = 5000
) -> Ensemble[Logits]:
    """The worst case by sample over attacks in the reference's order, each on the samples that none before it broke.

    standard: apgd-ce, apgd-t, fab-t, square (L1: 5 restarts and 5 targets). plus: apgd-ce and apgd-dlr with 5 restarts, fab with 5, square,
    apgd-t, fab-t. rand, for models that are random themselves: apgd-ce and apgd-dlr with gradients averaged over 20 passes. steps, queries:
    anything but the defaults is not AutoAttack. Works from 2 classes on: K - 1 targets, and below 3 classes the margin stands in for DLR,
    whose divisor needs a third logit.
    """
    return auto_attack(norm, eps, version, steps, queries)
