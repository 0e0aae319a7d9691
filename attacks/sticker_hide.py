"""A sticker under which an object disappears. Eykholt et al., Physical Adversarial Examples for Object Detectors, WOOT 2018, https://arxiv.org/abs/1807.07769"""

from __future__ import annotations

from robustbench_cv.adversary.objectives.patch_goals import TOUCH, detected_objects, hide_objects, objects_hidden
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.patch_application import OUTDOORS, Pasted
from robustbench_cv.adversary.universal.printability import non_printability, total_variation
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="Disappearance sticker", paper="arXiv:1807.07769", task="detection", fitted=True, of_condition="plain, shuffled")
def sticker_hide(
    cls: str = "car",
    smallest: PositiveFraction = 0.5,
    largest: PositiveFraction = 0.8,
    side: PositiveInt = 32,
    fit: str = "auto",
    limit: PositiveInt = 128,
    steps: PositiveInt = 200,
    batch: PositiveInt = 8,
    alpha: Length = 0.03,
    file: str = "",
) -> UniversalAttack[Candidates]:
    """A sticker on every object of class `cls`, on its own surface alone, from any angle and in any light: its class is no longer reported.

    smallest, largest: width and height as shares of the object's box. The sampled conditions are `patch_application.OUTDOORS` (project
    choices); the distance varies with the scenes. Broken: no box of the class with IoU >= 0.1 is left on any of the objects. file: apply a
    fitted sticker.
    """
    surface = Pasted(side=side, where="object", smallest=smallest, largest=largest, look=OUTDOORS, stretched=True, on_mask=True)
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="adam", alpha=alpha, scan=16)
    terms = (non_printability(), total_variation(0.25, 0.0))
    made = UniversalAttack(
        name="sticker-hide",
        objective=hide_objects(),
        success=objects_hidden(TOUCH),
        surface=surface,
        training=training,
        reference=detected_objects(cls),
        terms=terms,
        aim={"cls": cls},
    )
    return configure(made, file=file)
