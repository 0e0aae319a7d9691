"""One perturbation for all images of a segmenter. Metzen, Kumar, Brox, Fischer, ICCV 2017, https://arxiv.org/abs/1704.05712"""

from __future__ import annotations

from robustbench_cv.adversary.criteria import pixels_wrong
from robustbench_cv.adversary.objectives.patch_goals import against, capped_cross_entropy
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.perturbation import Overlay
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Budget, Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import PixelLogits


@attack(title="Universal perturbation", paper="arXiv:1704.05712", task="segmentation", fitted=True, of_condition="plain, shuffled")
def seg_universal(
    eps: Budget = 10 / 255,
    loss_against: str = "annotations",
    fit: str = "auto",
    limit: PositiveInt = 128,
    steps: PositiveInt = 150,
    batch: PositiveInt = 8,
    alpha: Length | None = None,
    file: str = "",
) -> UniversalAttack[PixelLogits]:
    """An L-infinity perturbation that raises each pixel's capped cross-entropy: untargeted, where the paper's want a chosen label map.

    alpha: eps / 10 (project choice). loss_against: 'annotations' or 'predictions'. file: apply a fitted one.
    """
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="sign", alpha=eps / 10 if alpha is None else alpha)
    goals, aim = against(loss_against), {"loss_against": loss_against}
    made = UniversalAttack(
        name="seg-universal",
        objective=capped_cross_entropy(PixelLogits),
        success=pixels_wrong(),
        surface=Overlay(eps),
        training=training,
        reference=goals,
        aim=aim,
    )
    return configure(made, file=file)
