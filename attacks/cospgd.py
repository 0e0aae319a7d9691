"""CosPGD. Agnihotri, Jung, Keuper, ICML 2024, https://arxiv.org/abs/2302.02213"""

from __future__ import annotations

from typing import Literal

from robustbench_cv.adversary import Ascent, Attack, ball
from robustbench_cv.adversary.criteria import pixels_wrong
from robustbench_cv.adversary.gradient_transforms import chain, scale, steepest
from robustbench_cv.adversary.objectives.segmentation import cos_pgd_loss
from robustbench_cv.adversary.optimizers.step_size import require_step
from robustbench_cv.arguments import Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import PixelLogits


@attack(title="CosPGD", paper="arXiv:2302.02213", task="segmentation", renamed="share=wrong_fraction")
def cospgd(
    norm: str = "linf",
    eps: Length = 8 / 255,
    steps: PositiveInt = 20,
    alpha: Length | None = None,
    restarts: PositiveInt = 1,
    wrong_fraction: PositiveFraction = 0.5,
    squash: Literal["sigmoid", "softmax"] = "sigmoid",
) -> Attack[PixelLogits]:
    """PGD that weighs each pixel by how near its prediction still is to its label.

    squash: what makes the logits comparable to the label's unit vector; the authors' code takes 'softmax', the SEA authors' 'sigmoid'.
    alpha, wrong_fraction: see `seg-pgd`.
    """
    region = ball(norm, eps)
    move = chain(steepest(region), scale(require_step(region, alpha, steps)))
    return Attack(
        name="cospgd",
        objective=cos_pgd_loss(squash),
        success=pixels_wrong(wrong_fraction),
        constraint=region,
        optimizer=Ascent(move),
        steps=steps,
        restarts=restarts,
    )
