"""Sparse-RS, few pixels by random search. Croce, Andriushchenko, Singh, Flammarion, Hein, AAAI 2022, https://arxiv.org/abs/2006.12834"""

from __future__ import annotations

from robustbench_cv.adversary import Attack
from robustbench_cv.adversary.constraints.l0 import L0
from robustbench_cv.adversary.objectives.task_goals import misclassify
from robustbench_cv.adversary.optimizers.sparse_rs import SparseRS
from robustbench_cv.arguments import PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(
    title="Sparse-RS",
    paper="arXiv:2006.12834",
    task="classification",
    gradient=False,
    reduced="pixels=8, queries=60",
    renamed="share=swap_fraction",
)
def sparse_rs(
    pixels: PositiveInt = 24, queries: PositiveInt = 10_000, swap_fraction: PositiveFraction = 0.3, loss: str = "margin"
) -> Attack[Logits]:
    """Score-based, one forward pass a query: `pixels` pixels in corner colours, a share of them swapped and kept where the margin shrinks.

    The L0 version, untargeted, the first set counted among the queries. Margin, swap_fraction 0.3 and 10,000 queries as the authors run
    it; 24 pixels are a project choice, for images of 32 x 32. loss: 'margin', 'ce' or 'dlr'.
    """
    goal, search = misclassify(loss), SparseRS(swap_fraction)
    return Attack(
        name="sparse-rs",
        objective=goal.objective,
        success=goal.success,
        constraint=L0(pixels),
        optimizer=search,
        steps=queries,
        restarts=1,
        start="clean",
        keep=goal.keep,
        reference=goal.reference,
    )
