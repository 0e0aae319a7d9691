"""One perturbation for all images. Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, CVPR 2017, https://arxiv.org/abs/1610.08401"""

from __future__ import annotations

from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.objectives.patch_goals import against, capped_cross_entropy
from robustbench_cv.adversary.universal.files import configure
from robustbench_cv.adversary.universal.perturbation import Overlay
from robustbench_cv.adversary.universal.universal_attack import Training, UniversalAttack
from robustbench_cv.arguments import Budget, Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="Universal perturbation", paper="arXiv:1610.08401", task="classification", fitted=True, of_condition="plain, shuffled")
def universal(
    eps: Budget = 10 / 255,
    loss_against: str = "annotations",
    fit: str = "auto",
    limit: PositiveInt = 256,
    steps: PositiveInt = 200,
    batch: PositiveInt = 32,
    alpha: Length | None = None,
    file: str = "",
) -> UniversalAttack[Logits]:
    """An L-infinity perturbation fitted on a training split and judged on another; the paper's 10/255.

    Fitted by stochastic sign steps on a capped cross-entropy (Shafahi et al., AAAI 2020, https://arxiv.org/abs/1811.11304) in place of the
    paper's DeepFool steps; alpha: eps / 10 (project choice). loss_against: 'annotations', or 'predictions': success is then the paper's
    fooling rate, that the predicted class changes. file: apply a fitted one.
    """
    training = Training(data=fit, limit=limit, steps=steps, batch=batch, move="sign", alpha=eps / 10 if alpha is None else alpha)
    aim = {"loss_against": loss_against}
    made = UniversalAttack(
        name="universal",
        objective=capped_cross_entropy(Logits),
        success=misclassified(),
        surface=Overlay(eps),
        training=training,
        reference=against(loss_against),
        aim=aim,
    )
    return configure(made, file=file)
