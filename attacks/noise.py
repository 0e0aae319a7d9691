"""Random noise of an attack's size, for any task: the control that every attack must beat."""

from __future__ import annotations

from typing import Any

from robustbench_cv.adversary import Attack, ball
from robustbench_cv.adversary.attack_references import either
from robustbench_cv.adversary.criteria import prediction_wrong
from robustbench_cv.adversary.objective import indifferent
from robustbench_cv.adversary.optimizers.ascent import RandomSteps
from robustbench_cv.arguments import Length, PositiveInt
from robustbench_cv.catalogue import attack


@attack(title="Random noise", task="any")
def noise(norm: str = "linf", eps: Length = 8 / 255, draws: PositiveInt = 1, uniform: bool = False) -> Attack[Any]:
    """A random direction at the full radius (a random sign for each value in Linf), or uniform in the ball; the worst of `draws`.

    A detection counts as broken where any of the model's own boxes is lost, relabelled or new.
    """
    steps = 0 if uniform else 1
    return Attack(
        name="noise",
        objective=indifferent(),
        success=prediction_wrong(),
        constraint=ball(norm, eps),
        optimizer=RandomSteps(),
        steps=steps,
        restarts=draws,
        start="random",
        keep="last",
        reference=either,
    )
