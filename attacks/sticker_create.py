"""A poster that is taken for an object. Eykholt et al., Physical Adversarial Examples for Object Detectors, WOOT 2018, https://arxiv.org/abs/1807.07769"""

from __future__ import annotations

from robustbench_cv.adversary.objectives.patch_goals import appear, reported_there, scenes_without
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.patch_application import OUTDOORS, Pasted
from robustbench_cv.adversary.universal.printability import non_printability, total_variation
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="Creation sticker", paper="arXiv:1807.07769", task="detection", fitted=True, of_condition="plain, shuffled")
def sticker_create(
    target: str = "person",
    smallest: PositiveFraction = 0.06,
    largest: PositiveFraction = 0.15,
    side: PositiveInt = 32,
    fit: str = "auto",
    limit: PositiveInt = 128,
    steps: PositiveInt = 200,
    batch: PositiveInt = 8,
    alpha: Length = 0.03,
    file: str = "",
) -> UniversalAttack[Candidates]:
    """A poster anywhere in scenes that have no `target`, from any angle and in any light: a `target` is reported where it hangs.

    smallest, largest: shares of the image's area. The sampled conditions are `patch_application.OUTDOORS` (project choices). file: apply a
    fitted poster.
    """
    surface = Pasted(side=side, where="random", smallest=smallest, largest=largest, look=OUTDOORS)
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="adam", alpha=alpha, scan=4)
    terms = (non_printability(), total_variation(0.25, 0.0))
    aim = {"target": target}
    made = UniversalAttack(
        name="sticker-create",
        objective=appear(),
        success=reported_there(),
        surface=surface,
        training=training,
        reference=scenes_without(target),
        terms=terms,
        becomes=target,
        aim=aim,
    )
    return configure(made, file=file)
