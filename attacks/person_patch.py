"""A patch that hides who wears it. Thys, Van Ranst, Goedeme, CVPR Workshops 2019, https://arxiv.org/abs/1904.08653"""

from __future__ import annotations

from robustbench_cv.adversary.objectives.patch_goals import detected_objects, hide_class, objects_hidden
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.patch_application import Look, Pasted
from robustbench_cv.adversary.universal.printability import non_printability, total_variation
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Length, Number, PositiveInt, PositiveNumber
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="Person patch", paper="arXiv:1904.08653", task="detection", fitted=True, of_condition="plain, shuffled")
def person_patch(
    cls: str = "person",
    scale: PositiveNumber = 0.3,
    lift: Number = 0.0,
    side: PositiveInt = 32,
    fit: str = "auto",
    limit: PositiveInt = 96,
    steps: PositiveInt = 150,
    batch: PositiveInt = 8,
    alpha: Length = 0.03,
    file: str = "",
) -> UniversalAttack[Candidates]:
    """A square on every object of class `cls`, its side `scale` times the box's diagonal, in printable and smooth colours.

    The paper's rotation +- 20 degrees, contrast +- 0.2, brightness +- 0.1, noise +- 0.1, and weights of the printability and variation
    terms. Its scale is 0.2 and its lift 0.05 of the image, for people of half the image's height; 0.3 and 0 are for the smaller ones of
    Scenes (project choice). Its median filter is left out. file: see `adversarial-patch`.
    """
    look = Look(rotation=20, contrast=0.2, brightness=0.1, noise=0.1)
    surface = Pasted(side=side, where="object", smallest=scale, largest=scale, look=look, lift=lift)
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="adam", alpha=alpha, scan=16)
    terms = (non_printability(), total_variation())
    made = UniversalAttack(
        name="person-patch",
        objective=hide_class(),
        success=objects_hidden(),
        surface=surface,
        training=training,
        reference=detected_objects(cls),
        terms=terms,
        aim={"cls": cls},
    )
    return configure(made, file=file)
