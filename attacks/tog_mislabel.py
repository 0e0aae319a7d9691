"""TOG-mislabeling: every object under another name. Chow et al., Adversarial Objectness Gradient Attacks, IEEE TPS-ISA 2020, https://arxiv.org/abs/2004.04320"""

from __future__ import annotations

from typing import Literal

from robustbench_cv.adversary import Ascent, Attack, Linf
from robustbench_cv.adversary.attack_references import other_classes
from robustbench_cv.adversary.criteria import objects_mislabelled
from robustbench_cv.adversary.objectives.detection import mislabel
from robustbench_cv.adversary.optimizers.tog import STEPS, tog_step
from robustbench_cv.arguments import Budget, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="TOG-mislabeling", paper="arXiv:2004.04320", task="detection")
def tog_mislabel(
    towards: Literal["most-likely", "least-likely"] = "most-likely",
    eps: Budget = 8 / 255,
    steps: PositiveInt = STEPS,
    alpha: Budget | None = None,
    decay: NonNegativeNumber = 1.0,
) -> Attack[Candidates]:
    """Each detection is pushed to the class that the model holds for the 'most-likely' or 'least-likely' after its own."""
    ball = Linf(eps)
    move = tog_step(ball, alpha, steps, decay)
    return Attack(
        name="tog-mislabel",
        objective=mislabel(),
        success=objects_mislabelled(),
        constraint=ball,
        optimizer=Ascent(move),
        steps=steps,
        keep="last",
        reference=other_classes(towards),
    )
