"""A patch that makes detectors lose objects it does not touch. Lee, Kolter, 2019, https://arxiv.org/abs/1906.11897"""

from __future__ import annotations

from robustbench_cv.adversary.attack_references import own_detections
from robustbench_cv.adversary.objectives.patch_goals import lose_everything, objects_hidden
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.patch_application import Look, Pasted
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Area, Fraction, Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(
    title="Robust DPatch", paper="arXiv:1906.11897", task="detection", fitted=True, of_condition="plain, shuffled", renamed="share=area"
)
def robust_dpatch(
    area: Area = 0.083,
    brightness: Fraction = 0.2,
    side: PositiveInt = 32,
    fit: str = "auto",
    limit: PositiveInt = 128,
    steps: PositiveInt = 150,
    batch: PositiveInt = 8,
    alpha: Length = 0.01,
    file: str = "",
) -> UniversalAttack[Candidates]:
    """DPatch under random quarter turns, brightness and places, by sign steps, against the detector's own clean detections.

    +- 0.2 brightness and 0.01 a step are project choices, and a random place stands for the authors' random crop.
    file: see `adversarial-patch`.
    """
    surface = Pasted(side=side, where="random", smallest=area, largest=area, look=Look(quarter_turns=True, brightness=brightness))
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="sign", alpha=alpha)
    made = UniversalAttack(
        name="robust-dpatch",
        objective=lose_everything(),
        success=objects_hidden(),
        surface=surface,
        training=training,
        reference=own_detections,
    )
    return configure(made, file=file)
