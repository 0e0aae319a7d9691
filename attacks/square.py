"""Square Attack, by random search. Andriushchenko, Croce, Flammarion, Hein, ECCV 2020, https://arxiv.org/abs/1912.00049"""

from __future__ import annotations

from robustbench_cv.adversary import Attack
from robustbench_cv.adversary.auto import square_search
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(paper="arXiv:1912.00049", task="classification", gradient=False)
def square(norm: str = "linf", eps: float = 8 / 255, queries: int = 5000, share: float = 0.8, rescale: bool = True) -> Attack[Logits]:
    """Score-based, one forward pass a query: random squares in 'linf', windows in 'l2' and 'l1', kept where the margin shrinks.

    share: of the image in the first squares. rescale: stretch the schedule of square sizes, made for 10,000 queries, over those at hand;
    False as inside AutoAttack.
    """
    return square_search("square", norm, eps, queries, share, rescale)
