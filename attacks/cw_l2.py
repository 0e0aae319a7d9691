"""Carlini and Wagner's L2 attack. IEEE S&P 2017, https://arxiv.org/abs/1608.04644"""

from __future__ import annotations

from typing import Literal

from robustbench_cv.adversary import Attack, ball
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.objectives.classification import margin
from robustbench_cv.adversary.optimizers.minimum_norm import CarliniWagner
from robustbench_cv.catalogue import attack
from robustbench_cv.errors import UserError
from robustbench_cv.types import Logits


@attack(paper="arXiv:1608.04644", task="classification")
def cw_l2(
    eps: float | None = None,
    steps: int = 100,
    searches: int = 9,
    rate: float = 0.01,
    weight: float = 0.001,
    confidence: float = 0.0,
    abort_early: bool = True,
) -> Attack[Logits]:
    """The smallest change in L2 that is misclassified: Adam in tanh space, with a search for how much success is worth.

    steps: of each of the `searches` (project choice; the authors' code takes up to 10,000). weight: the first of the searched.
    abort_early: a sample's search ends once it stalls, at no loss that is seen (docs/performance.md); false: after all its steps. The size
    of each sample's change is its measured distance; with eps only changes within it count, and the first of them settles the sample.
    """
    if searches < 1 or steps < 1:
        raise UserError(f"cw-l2: searches={searches} and steps={steps} must be at least 1")
    keep: Literal["nearest", "first"] = "nearest" if eps is None else "first"
    search = CarliniWagner(searches, rate, weight, confidence, abort_early)
    return Attack("cw-l2", margin(), misclassified(), ball("l2", eps), search, steps * searches, 1, "clean", keep)
