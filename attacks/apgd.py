"""Auto-PGD. Croce & Hein, ICML 2020, https://arxiv.org/abs/2003.01690"""

from __future__ import annotations

from robustbench_cv.adversary import APGD, Attack, ball
from robustbench_cv.adversary.objectives import classifier_objective
from robustbench_cv.adversary.success import misclassified
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(paper="arXiv:2003.01690", task="classification")
def apgd(
    norm: str = "linf", eps: float = 8 / 255, steps: int = 100, loss: str = "ce", restarts: int = 1, rho: float = 0.75
) -> Attack[Logits]:
    """No step size to choose: it starts at 2 eps and halves where progress stops. loss: 'ce', 'dlr' or 'margin'."""
    return Attack("apgd", classifier_objective(loss), misclassified(), ball(norm, eps), APGD(rho), steps, restarts, "edge", "first")
