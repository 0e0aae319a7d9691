"""TOG-fabrication: objects everywhere. Chow et al., Adversarial Objectness Gradient Attacks, IEEE TPS-ISA 2020, https://arxiv.org/abs/2004.04320"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, Linf
from robustbench_cv.adversary.attack_references import detections_and_annotations
from robustbench_cv.adversary.criteria import boxes_fabricated
from robustbench_cv.adversary.objectives.detection import fabricate_boxes
from robustbench_cv.adversary.optimizers.tog import STEPS, tog_step
from robustbench_cv.arguments import Budget, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="TOG-fabrication", paper="arXiv:2004.04320", task="detection")
def tog_fabricate(
    boxes: PositiveInt = 10,
    eps: Budget = 8 / 255,
    steps: PositiveInt = STEPS,
    alpha: Budget | None = None,
    decay: NonNegativeNumber = 1.0,
    sure: NonNegativeNumber = 10.0,
) -> Attack[Candidates]:
    """Every candidate's confidence rises, and with weight `sure` the sum of the confidences, that of candidates within reach.

    The paper's own: steps=10, decay=0, sure=0; the rest is project choice. boxes: how many new ones break the image (project choice).
    alpha, decay: see `tog_step`.
    """
    ball = Linf(eps)
    move = tog_step(ball, alpha, steps, decay)
    return Attack(
        name="tog-fabricate",
        objective=fabricate_boxes(sure),
        success=boxes_fabricated(boxes),
        constraint=ball,
        optimizer=Ascent(move),
        steps=steps,
        keep="last",
        reference=detections_and_annotations,
    )
