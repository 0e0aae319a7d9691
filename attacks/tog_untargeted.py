"""TOG-untargeted: anything but what was seen. Chow et al., Adversarial Objectness Gradient Attacks, IEEE TPS-ISA 2020, https://arxiv.org/abs/2004.04320"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, Linf
from robustbench_cv.adversary.attack_references import own_detections
from robustbench_cv.adversary.objectives.detection import untargeted_loss
from robustbench_cv.adversary.objectives.patch_goals import objects_hidden
from robustbench_cv.adversary.optimizers.tog import STEPS, tog_step
from robustbench_cv.arguments import Budget, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="TOG-untargeted", paper="arXiv:2004.04320", task="detection")
def tog_untargeted(
    eps: Budget = 8 / 255, steps: PositiveInt = STEPS, alpha: Budget | None = None, decay: NonNegativeNumber = 1.0
) -> Attack[Candidates]:
    """The training loss on the model's own detections rises: they are lost, renamed or displaced, and others appear."""
    ball = Linf(eps)
    move = tog_step(ball, alpha, steps, decay)
    return Attack(
        name="tog-untargeted",
        objective=untargeted_loss(),
        success=objects_hidden(),
        constraint=ball,
        optimizer=Ascent(move),
        steps=steps,
        keep="last",
        reference=own_detections,
    )
