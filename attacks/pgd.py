"""Projected gradient descent. Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018, https://arxiv.org/abs/1706.06083"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, ball
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.gradient_transforms import chain, scale, steepest
from robustbench_cv.adversary.objectives.classification import classifier_objective
from robustbench_cv.adversary.optimizers.step_size import require_step
from robustbench_cv.adversary.problem import Start
from robustbench_cv.arguments import Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="PGD", paper="arXiv:1706.06083", task="classification")
def pgd(
    norm: str = "linf",
    eps: Length = 8 / 255,
    steps: PositiveInt = 40,
    alpha: Length | None = None,
    restarts: PositiveInt = 1,
    random_start: bool = True,
    loss: str = "ce",
) -> Attack[Logits]:
    """Steepest-ascent steps from a random point of the ball, until the sample is misclassified.

    norm: 'linf', 'l2', or 'l1', whose steps move the 1 % of the values with the largest gradient and whose projection is exact on ball and
    box. alpha: step size, by default 2.5 eps / steps (project choice). loss: 'ce', 'margin' or 'dlr'. The paper trains CIFAR-10 with 7
    steps of 2/255 at 8/255.
    """
    region = ball(norm, eps)
    move = chain(steepest(region), scale(require_step(region, alpha, steps)))
    start: Start = "random" if random_start else "clean"
    return Attack(
        name="pgd",
        objective=classifier_objective(loss),
        success=misclassified(),
        constraint=region,
        optimizer=Ascent(move),
        steps=steps,
        restarts=restarts,
        start=start,
        keep="first",
    )
