"""Robust accuracy over seven budgets: a gradient attack and a black box, each budget going on from what the smaller ones broke."""

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Suite, Track, budgets

LEVELS = (0.25, 0.5, 1, 2, 4, 8, 16)
"""In grey levels of 255."""


@suite()
def curves(samples: PositiveInt = 200, steps: PositiveInt = 40, queries: PositiveInt = 500) -> Suite:
    """Whole curves of classifiers for little more than their largest budget costs: PGD of `steps`, and Square of `queries`.

    A sample that a smaller budget broke is not searched again, which never weakens an attack: what lies in a ball lies in a larger one.
    """
    conditions = (
        CLEAN,
        *budgets("pgd", f"pgd(eps={{eps}}, steps={steps})", LEVELS, warm=True),
        *budgets("square", f"square(eps={{eps}}, queries={queries})", LEVELS, warm=True),
    )
    track = Track("classification", ("cifar-resnet20.scenes", "lenet5.scenes"), ("scenes",), conditions, ("top-1",), samples)
    return Suite(
        "curves", version=1, tracks=(track,), reports=("budget-curve", "main-table", "perturbations", "query-cost", "checks", "protocol")
    )
