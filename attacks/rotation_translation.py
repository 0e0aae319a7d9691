"""Rotations and translations. Engstrom, Tran, Tsipras, Schmidt, Madry, ICML 2019, https://arxiv.org/abs/1712.02779"""

from __future__ import annotations

from typing import Annotated, Literal

from robustbench_cv.adversary import Attack, Optimizer
from robustbench_cv.adversary.constraints.spatial import Spatial
from robustbench_cv.adversary.objectives.task_goals import misclassify
from robustbench_cv.adversary.optimizers.random_search import GridSearch, RandomDraws, grid_points
from robustbench_cv.arguments import Degrees, Fraction, PositiveInt, Range
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(title="Rotation and translation", paper="arXiv:1712.02779", task="classification", gradient=False)
def rotation_translation(
    eps: Annotated[float, Range(0, 1, meaning="a share of the range")] = 1.0,
    search: Literal["random", "grid"] = "random",
    draws: PositiveInt = 10,
    degrees: Degrees = 30.0,
    shift: Fraction = 0.1,
) -> Attack[Logits]:
    """Up to 30 degrees and 10 % of each side, black beyond the border: the worst of 10 random draws, or of a grid.

    search='grid' asks for 31 angles x 5 x 5 shifts, as in the paper, until one breaks the sample. eps: share of the range. Both searches
    look at the decision alone; the paper's worst of 10 is the draw of highest loss, which breaks the sample whenever one of them does.
    """
    points = grid_points(31, 5, 5)
    optimizer: Optimizer = RandomDraws() if search == "random" else GridSearch(points)
    steps = draws if search == "random" else len(points)
    goal, region = misclassify("ce"), Spatial(eps, degrees, shift)
    return Attack(
        name="rotation-translation",
        objective=goal.objective,
        success=goal.success,
        constraint=region,
        optimizer=optimizer,
        steps=steps,
        restarts=1,
        start="clean",
        keep=goal.keep,
        reference=goal.reference,
    )
