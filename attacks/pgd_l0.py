"""Sparse PGD: few pixels, freely changed. Croce & Hein, ICCV 2019, https://arxiv.org/abs/1909.05040"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack
from robustbench_cv.adversary.constraints.l0 import L0
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.gradient_transforms import chain, l1_mean, scale
from robustbench_cv.adversary.objectives.classification import classifier_objective
from robustbench_cv.arguments import Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="PGD-L0", paper="arXiv:1909.05040", task="classification")
def pgd_l0(
    pixels: PositiveInt = 10, steps: PositiveInt = 50, alpha: Length = 0.15, restarts: PositiveInt = 1, loss: str = "ce"
) -> Attack[Logits]:
    """The paper's PGD_0: steps along the whole gradient, then all but the `pixels` that changed to most effect are put back.

    alpha: the mean change of a value in a step, before projection (project choice). The white-box counterpart of one-pixel, and the sparse
    attack in the place of JSMA (Papernot et al. 2016), whose pairs of pixels cost their number squared.
    """
    region = L0(pixels)
    move = chain(l1_mean(), scale(alpha))
    return Attack(
        name="pgd-l0",
        objective=classifier_objective(loss),
        success=misclassified(),
        constraint=region,
        optimizer=Ascent(move),
        steps=steps,
        restarts=restarts,
        start="random",
        keep="first",
    )
