"""Local noise, visible and anywhere, on one classifier and image. After LaVAN: Karmon, Zoran, Goldberg, ICML 2018, https://arxiv.org/abs/1801.02608"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, Patch
from robustbench_cv.adversary.constraints.lp import require_pixel_units
from robustbench_cv.adversary.constraints.patch import Place
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.gradient_transforms import chain, scale, steepest
from robustbench_cv.adversary.objectives.classification import cross_entropy
from robustbench_cv.arguments import Area, Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="LaVAN patch", paper="arXiv:1801.02608", task="classification", renamed="share=area")
def patch(
    area: Area = 0.02, where: Place = "corner", steps: PositiveInt = 50, alpha: Length = 0.05, restarts: PositiveInt = 1
) -> Attack[Logits]:
    """Free pixels in a square of 2 % of the image, by sign steps of `alpha` (project choice) from random pixels.

    where: 'corner', 'centre', 'random' or 'object'. The paper's loss also names a target class; this one is untargeted.
    """
    require_pixel_units("alpha", alpha)
    square = Patch(area, where)
    move = chain(steepest(square), scale(alpha))
    return Attack(
        name="patch",
        objective=cross_entropy(),
        success=misclassified(),
        constraint=square,
        optimizer=Ascent(move),
        steps=steps,
        restarts=restarts,
        keep="first",
    )
