"""DPatch: a patch that a detector cannot look away from. Liu et al., SafeAI at AAAI 2019, https://arxiv.org/abs/1806.02299"""

from __future__ import annotations

from robustbench_cv.adversary.attack_references import own_detections
from robustbench_cv.adversary.objectives.patch_goals import lose_everything, objects_hidden, only_the_patch, reported_there, scenes_without
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.patch_application import Pasted
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Area, Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="DPatch", paper="arXiv:1806.02299", task="detection", fitted=True, of_condition="plain, shuffled", renamed="share=area")
def dpatch(
    target: str = "",
    area: Area = 0.083,
    side: PositiveInt = 32,
    fit: str = "auto",
    limit: PositiveInt = 128,
    steps: PositiveInt = 150,
    batch: PositiveInt = 8,
    alpha: Length = 0.03,
    file: str = "",
) -> UniversalAttack[Candidates]:
    """A square in the top left corner (the paper's 120 x 120 of 416 x 416). From the definition: the released script never pastes it.

    target: the patch shall be the only object, of this class, in images that have none of it; '': untargeted, everything that the detector
    reports is to be lost. Adam in place of plain gradient steps (project choice). file: see `adversarial-patch`.
    """
    surface = Pasted(side=side, where="corner", smallest=area, largest=area)
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="adam", alpha=alpha)
    aim = {"target": target}
    if target:
        made = UniversalAttack(
            name="dpatch",
            objective=only_the_patch(),
            success=reported_there(),
            surface=surface,
            training=training,
            reference=scenes_without(target),
            becomes=target,
            aim=aim,
        )
    else:
        made = UniversalAttack(
            name="dpatch",
            objective=lose_everything(),
            success=objects_hidden(),
            surface=surface,
            training=training,
            reference=own_detections,
            aim=aim,
        )
    return configure(made, file=file)
