"""Fast adaptive boundary attack. Croce & Hein, ICML 2020, https://arxiv.org/abs/1907.02044"""

from __future__ import annotations

from robustbench_cv.adversary import Adversary
from robustbench_cv.adversary.combinators.autoattack import fast_boundary, fast_boundary_targeted
from robustbench_cv.adversary.combinators.targeted import Targeted
from robustbench_cv.arguments import Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="FAB", paper="arXiv:1907.02044", task="classification")
def fab(norm: str = "linf", eps: Length | None = 8 / 255, steps: PositiveInt = 100, restarts: PositiveInt = 1) -> Adversary[Logits]:
    """The closest misclassified image in 'linf', 'l2' or 'l1'. With eps a sample is settled by the first one inside.

    eps=None: no bound; the size of each sample's change is its measured distance to the boundary. A step takes a backward pass for each
    wrong class: with many classes use fab-t.
    """
    return fast_boundary("fab", norm, eps, steps, restarts)


@attack(title="FAB-T", paper="arXiv:2003.01690", task="classification")
def fab_t(norm: str = "linf", eps: Length | None = 8 / 255, steps: PositiveInt = 100, targets: PositiveInt = 9) -> Targeted:
    """FAB towards each of the likeliest `targets` wrong classes in turn: one backward pass a step.

    eps=None: the distance to the boundary of the first target that is reached, an upper bound of the distance that fab measures.
    """
    return fast_boundary_targeted("fab-t", norm, eps, steps, targets)
