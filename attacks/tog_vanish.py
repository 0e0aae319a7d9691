"""TOG-vanishing: no object is seen. Chow et al., Adversarial Objectness Gradient Attacks, IEEE TPS-ISA 2020, https://arxiv.org/abs/2004.04320"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, Linf
from robustbench_cv.adversary.attack_references import own_detections
from robustbench_cv.adversary.criteria import objects_vanished
from robustbench_cv.adversary.objectives.detection import vanish_objects
from robustbench_cv.adversary.optimizers.tog import STEPS, tog_step
from robustbench_cv.arguments import Budget, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="TOG-vanishing", paper="arXiv:2004.04320", task="detection")
def tog_vanish(
    eps: Budget = 8 / 255,
    steps: PositiveInt = STEPS,
    alpha: Budget | None = None,
    decay: NonNegativeNumber = 1.0,
    odds: NonNegativeNumber = 1.0,
) -> Attack[Candidates]:
    """Every candidate's confidence falls, and with weight `odds` the log odds of those on detected objects, which do not fade.

    The paper's own: steps=10, decay=0, odds=0. It leaves detectors of two stages, whose proposals move from step to step, a fifth of their
    average precision; momentum (`decay`), the log odds and 20 steps are project choices. alpha, decay: see `tog_step`.
    """
    ball = Linf(eps)
    move = tog_step(ball, alpha, steps, decay)
    return Attack(
        name="tog-vanish",
        objective=vanish_objects(odds),
        success=objects_vanished(),
        constraint=ball,
        optimizer=Ascent(move),
        steps=steps,
        keep="last",
        reference=own_detections,
    )
