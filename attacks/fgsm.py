"""Fast gradient sign method. Goodfellow, Shlens, Szegedy, ICLR 2015, https://arxiv.org/abs/1412.6572"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, Linf
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.gradient_transforms import chain, scale, steepest
from robustbench_cv.adversary.objectives.classification import cross_entropy
from robustbench_cv.arguments import Budget
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="FGSM", paper="arXiv:1412.6572", task="classification")
def fgsm(eps: Budget = 8 / 255) -> Attack[Logits]:
    """One sign step of the whole budget from the clean image. A sanity check, not an evaluation: PGD must do better."""
    ball = Linf(eps)
    move = chain(steepest(ball), scale(eps))
    return Attack(
        name="fgsm",
        objective=cross_entropy(),
        success=misclassified(),
        constraint=ball,
        optimizer=Ascent(move),
        steps=1,
        start="clean",
        keep="last",
    )
