"""Carlini and Wagner's L2 attack. IEEE S&P 2017, https://arxiv.org/abs/1608.04644"""

from __future__ import annotations

from typing import Literal

from robustbench_cv.adversary import Attack, ball
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.objectives.classification import margin
from robustbench_cv.adversary.optimizers.minimum_norm import CarliniWagner
from robustbench_cv.arguments import Length, NonNegativeNumber, PositiveInt, PositiveNumber
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="C&W L2", paper="arXiv:1608.04644", task="classification")
def cw_l2(
    eps: Length | None = None,
    steps: PositiveInt = 100,
    searches: PositiveInt = 9,
    rate: PositiveNumber = 0.01,
    weight: PositiveNumber = 0.001,
    confidence: NonNegativeNumber = 0.0,
    abort_early: bool = True,
) -> Attack[Logits]:
    """The smallest change in L2 that is misclassified: Adam in tanh space, with a search for how much success is worth.

    steps: of each of the `searches` (project choice; the authors' code takes up to 10,000). weight: the first of the searched.
    abort_early: a sample's search ends once it stalls, at under 1 % of its size (docs/performance.md); false: after all its steps. The size
    of each sample's change is its measured distance; with eps only changes within it count, and the first of them settles the sample.
    """
    keep: Literal["nearest", "first"] = "nearest" if eps is None else "first"
    search = CarliniWagner(searches, rate, weight, confidence, abort_early)
    return Attack(
        name="cw-l2",
        objective=margin(),
        success=misclassified(),
        constraint=ball("l2", eps),
        optimizer=search,
        steps=steps * searches,
        restarts=1,
        start="clean",
        keep=keep,
    )
