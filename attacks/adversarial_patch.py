"""A printed patch that works anywhere. Brown, Mane, Roy, Abadi, Gilmer, Adversarial Patch, 2017, https://arxiv.org/abs/1712.09665"""

from __future__ import annotations

from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.objectives.classification import towards
from robustbench_cv.adversary.objectives.patch_goals import capped_cross_entropy, images_without, taken_for
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.patch_application import Look, Pasted
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Degrees, Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="Adversarial patch", paper="arXiv:1712.09665", task="classification", fitted=True, of_condition="plain, shuffled")
def adversarial_patch(
    target: str = "",
    smallest: PositiveFraction = 0.05,
    largest: PositiveFraction = 0.1,
    rotation: Degrees = 22.5,
    circle: bool = True,
    side: PositiveInt = 32,
    fit: str = "auto",
    limit: PositiveInt = 256,
    steps: PositiveInt = 200,
    batch: PositiveInt = 16,
    alpha: Length = 0.03,
    file: str = "",
) -> UniversalAttack[Logits]:
    """A disc at a random place, size and rotation in each image, by Expectation over Transformation (Athalye et al., ICML 2018).

    target: the class to be seen, on images of any other class, as in the paper; '': any but the own (project choice, so that every model
    has one). smallest, largest: shares of the image's area. rotation: +- degrees. side: texture pixels. These are project choices.
    file: apply a fitted patch, or any picture. A condition can judge it plain (without rotation) or shuffled: see `Condition.judged`.
    """
    surface = Pasted(side=side, where="random", smallest=smallest, largest=largest, look=Look(rotation=rotation), circle=circle)
    objective, success = (towards(), taken_for()) if target else (capped_cross_entropy(Logits), misclassified())
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="adam", alpha=alpha)
    made = UniversalAttack(
        name="adversarial-patch",
        objective=objective,
        success=success,
        surface=surface,
        training=training,
        reference=images_without(target),
        aim={"target": target},
    )
    return configure(made, file=file)
