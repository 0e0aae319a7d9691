"""A patch that spoils the segmentation around it. Nesti, Rossolini, Nair, Biondi, Buttazzo, WACV 2022, https://arxiv.org/abs/2108.06179"""

from __future__ import annotations

from robustbench_cv.adversary.criteria import pixels_wrong
from robustbench_cv.adversary.objectives.patch_goals import capped_cross_entropy
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.patch_application import Look, Pasted
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Area, Degrees, Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import PixelLogits


@attack(
    title="Patch",
    paper="arXiv:2108.06179",
    task="segmentation",
    fitted=True,
    of_condition="plain, shuffled",
    renamed="share=area, wrong=wrong_fraction",
)
def seg_patch(
    area: Area = 0.1,
    rotation: Degrees = 15.0,
    wrong_fraction: PositiveFraction = 0.25,
    side: PositiveInt = 32,
    fit: str = "auto",
    limit: PositiveInt = 128,
    steps: PositiveInt = 150,
    batch: PositiveInt = 8,
    alpha: Length = 0.03,
    file: str = "",
) -> UniversalAttack[PixelLogits]:
    """A square of `area` of the image, anywhere, that raises the cross-entropy of the pixels it does *not* cover; those are not judged.

    Broken: at least `wrong_fraction` of the other pixels (project choice). The paper weighs pixels that are still right against wrong ones;
    here each pixel's loss is capped instead. rotation: +- degrees. file: see `adversarial-patch`.
    """
    surface = Pasted(side=side, where="random", smallest=area, largest=area, look=Look(rotation=rotation))
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="adam", alpha=alpha)
    made = UniversalAttack(
        name="seg-patch",
        objective=capped_cross_entropy(PixelLogits),
        success=pixels_wrong(wrong_fraction),
        surface=surface,
        training=training,
    )
    return configure(made, file=file)
