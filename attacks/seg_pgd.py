"""SegPGD. Gu, Zhao, Tresp, Torr, ECCV 2022, https://arxiv.org/abs/2207.12391"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, ball
from robustbench_cv.adversary.criteria import pixels_wrong
from robustbench_cv.adversary.gradient_transforms import chain, scale, steepest
from robustbench_cv.adversary.objectives.segmentation import seg_pgd_loss
from robustbench_cv.adversary.optimizers.step_size import require_step
from robustbench_cv.arguments import Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import PixelLogits


@attack(title="SegPGD", paper="arXiv:2207.12391", task="segmentation", renamed="share=wrong_fraction")
def seg_pgd(
    norm: str = "linf",
    eps: Length = 8 / 255,
    steps: PositiveInt = 20,
    alpha: Length | None = None,
    restarts: PositiveInt = 1,
    wrong_fraction: PositiveFraction = 0.5,
) -> Attack[PixelLogits]:
    """PGD that first turns the pixels still right and step by step weighs in the wrong ones.

    alpha: step size, by default 2.5 eps / steps (project choice). wrong_fraction: of the scored pixels that must be wrong for the image to
    count as broken (project choice); of all iterates, the one with the most wrong pixels is kept.
    """
    region = ball(norm, eps)
    move = chain(steepest(region), scale(require_step(region, alpha, steps)))
    return Attack(
        name="seg-pgd",
        objective=seg_pgd_loss(),
        success=pixels_wrong(wrong_fraction),
        constraint=region,
        optimizer=Ascent(move),
        steps=steps,
        restarts=restarts,
    )
