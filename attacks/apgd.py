"""Auto-PGD. Croce & Hein, ICML 2020, https://arxiv.org/abs/2003.01690; in L1: ICML 2021, https://arxiv.org/abs/2103.01208"""

from __future__ import annotations

from robustbench_cv.adversary import Attack
from robustbench_cv.adversary.combinators.autoattack import auto_pgd
from robustbench_cv.adversary.objectives.classification import classifier_objective
from robustbench_cv.arguments import Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="APGD", paper="arXiv:2003.01690", task="classification")
def apgd(
    norm: str = "linf",
    eps: Length = 8 / 255,
    steps: PositiveInt = 100,
    loss: str = "ce",
    restarts: PositiveInt = 1,
    rho: PositiveFraction = 0.75,
) -> Attack[Logits]:
    """No step size to choose: it starts at 2 eps and halves where progress stops. loss: 'ce', 'dlr' or 'margin'."""
    return auto_pgd("apgd", classifier_objective(loss), norm=norm, eps=eps, steps=steps, restarts=restarts, rho=rho)


@attack(title="APGD-CE", paper="arXiv:2003.01690", task="classification")
def apgd_ce(norm: str = "linf", eps: Length = 8 / 255, steps: PositiveInt = 100, restarts: PositiveInt = 1) -> Attack[Logits]:
    """APGD on cross-entropy: AutoAttack's first part."""
    return auto_pgd("apgd-ce", classifier_objective("ce"), norm, eps, steps, restarts)


@attack(title="APGD-DLR", paper="arXiv:2003.01690", task="classification")
def apgd_dlr(norm: str = "linf", eps: Length = 8 / 255, steps: PositiveInt = 100, restarts: PositiveInt = 1) -> Attack[Logits]:
    """APGD on the difference of logits ratio, which no scaling of the logits can hide from. Three classes or more."""
    return auto_pgd("apgd-dlr", classifier_objective("dlr"), norm, eps, steps, restarts)
