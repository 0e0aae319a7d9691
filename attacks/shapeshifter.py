"""A new skin for an object. Chen, Cornelius, Martin, Chau, ShapeShifter, ECML-PKDD 2018, https://arxiv.org/abs/1804.05810"""

from __future__ import annotations

from robustbench_cv.adversary.objectives.detection import mislabel
from robustbench_cv.adversary.objectives.patch_goals import TOUCH, detected_objects, hide_objects, objects_hidden, reported_there
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.patch_application import OUTDOORS, Pasted
from robustbench_cv.adversary.universal.printability import far_from_grey
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Length, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="ShapeShifter", paper="arXiv:1804.05810", task="detection", fitted=True, of_condition="plain, shuffled")
def shapeshifter(
    cls: str = "car",
    target: str = "person",
    similarity: NonNegativeNumber = 1e-4,
    side: PositiveInt = 32,
    fit: str = "auto",
    limit: PositiveInt = 128,
    steps: PositiveInt = 200,
    batch: PositiveInt = 8,
    alpha: Length = 0.03,
    file: str = "",
) -> UniversalAttack[Candidates]:
    """A texture over the whole of every `cls`, masked by its outline, under sampled conditions: it is reported as a `target`.

    target: '' is untargeted, the object is only to be no `cls` any more. The loss is summed over all candidates on the object, as the paper
    sums over proposals. similarity: its weight (1e-4 in the released recipe) of the distance to the original, which is a grey surface here,
    because many objects share the texture; letters are not spared. file: see `sticker-hide`.
    """
    surface = Pasted(side=side, where="object", smallest=1.0, largest=1.0, look=OUTDOORS, stretched=True, on_mask=True)
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="adam", alpha=alpha, scan=16)
    objective, success = (mislabel(), reported_there()) if target else (hide_objects(), objects_hidden(TOUCH))
    aim = {"cls": cls, "target": target}
    terms = (far_from_grey(similarity),)
    made = UniversalAttack(
        name="shapeshifter",
        objective=objective,
        success=success,
        surface=surface,
        training=training,
        reference=detected_objects(cls, target),
        terms=terms,
        aim=aim,
    )
    return configure(made, file=file)
