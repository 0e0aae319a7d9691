"""Daedalus: many small sure boxes. Wang et al., Daedalus, IEEE Transactions on Cybernetics 2021, https://arxiv.org/abs/1902.02067"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, ball
from robustbench_cv.adversary.criteria import boxes_fabricated
from robustbench_cv.adversary.gradient_transforms import chain, scale, steepest
from robustbench_cv.adversary.objectives.daedalus import ImageFrame, image_frames, small_and_sure
from robustbench_cv.adversary.optimizers.step_size import require_step
from robustbench_cv.arguments import Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="Daedalus", paper="arXiv:1902.02067", task="detection", reduced="steps=10")
def daedalus(
    norm: str = "linf", eps: Length = 8 / 255, steps: PositiveInt = 40, alpha: Length | None = None, boxes: PositiveInt = 10
) -> Attack[Candidates, ImageFrame]:
    """Boxes that suppression keeps, since they hardly overlap: every candidate is made sure and small, whatever its class.

    Sign steps within a budget, from the clean image, in place of the paper's search for the smallest L2 change (project choice). boxes: how
    many new ones break the image (project choice; the paper counts them after suppression). alpha: by default 2.5 eps / steps.
    """
    region = ball(norm, eps)
    move = chain(steepest(region), scale(require_step(region, alpha, steps)))
    return Attack(
        name="daedalus",
        objective=small_and_sure(),
        success=boxes_fabricated(boxes),
        constraint=region,
        optimizer=Ascent(move),
        steps=steps,
        restarts=1,
        start="clean",
        keep="last",
        reference=image_frames,
    )
