"""DeepFool. Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016, https://arxiv.org/abs/1511.04599"""

from __future__ import annotations

from typing import Annotated

from robustbench_cv.adversary import Attack, ball
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.objectives.classification import margin
from robustbench_cv.adversary.optimizers.minimum_norm import DeepFool
from robustbench_cv.arguments import LARGEST_COUNT, Length, NonNegativeNumber, PositiveInt, Range
from robustbench_cv.catalogue import attack
from robustbench_cv.errors import UserError
from robustbench_cv.types import Logits


@attack(title="DeepFool", paper="arXiv:1511.04599", task="classification")
def deepfool(
    norm: str = "l2",
    eps: Length | None = None,
    steps: PositiveInt = 50,
    candidates: Annotated[int, Range(2, LARGEST_COUNT)] = 10,
    overshoot: NonNegativeNumber = 0.02,
) -> Attack[Logits]:
    """Steps onto the nearest linearised boundary until the class changes: a quick upper bound of the distance to it, in 'l2' or 'linf'.

    The size of each sample's change is its measured distance; with eps only changes within it count. The paper divides by the image's own
    norm. It starts from the predicted class; here from the annotated one, so that a misclassified image is broken at distance 0.
    """
    if norm.lower() not in ("l2", "linf"):
        raise UserError(f"deepfool: norm={norm!r} must be 'l2' or 'linf'")
    search = DeepFool(norm.lower(), candidates, overshoot)
    return Attack(
        name="deepfool",
        objective=margin(),
        success=misclassified(),
        constraint=ball(norm, eps),
        optimizer=search,
        steps=steps,
        restarts=1,
        start="clean",
        keep="nearest",
    )
