"""One pixel attack. Su, Vargas, Sakurai, IEEE Transactions on Evolutionary Computation 2019, https://arxiv.org/abs/1710.08864"""

from __future__ import annotations

from typing import Annotated

from robustbench_cv.adversary import Attack
from robustbench_cv.adversary.constraints.pixels import Pixels
from robustbench_cv.adversary.objectives.task_goals import misclassify
from robustbench_cv.adversary.optimizers.differential_evolution import DifferentialEvolution
from robustbench_cv.arguments import LARGEST_COUNT, NonNegativeInt, PositiveInt, Range
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Logits


@attack(
    title="One pixel", paper="arXiv:1710.08864", task="classification", gradient=False, reduced="pixels=8, population=10, generations=9"
)
def one_pixel(
    pixels: PositiveInt = 1, population: Annotated[int, Range(4, LARGEST_COUNT)] = 400, generations: NonNegativeInt = 100, loss: str = "ce"
) -> Attack[Logits]:
    """Score-based: differential evolution over the places and colours of 1, 3 or 5 pixels, until the class is left.

    Up to population x (1 + generations) queries. Population 400, factor 0.5 and no crossover as in the paper; 100 generations are a project
    choice. The paper's fitness, the true class's probability, orders candidates as 'ce' does; 'margin' also does where that probability
    rounds to 1.
    """
    goal, steps = misclassify(loss), population * (1 + generations)
    search = DifferentialEvolution(population)
    return Attack(
        name="one-pixel",
        objective=goal.objective,
        success=goal.success,
        constraint=Pixels(pixels),
        optimizer=search,
        steps=steps,
        restarts=1,
        start="clean",
        keep=goal.keep,
        reference=goal.reference,
    )
