"""Adversarially trained models beside their twins, clean and attacked: what hardening bought, and what it cost."""

from robustbench_cv.arguments import Budget, PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track, budgets
from robustbench_cv.tasks import Task

LEVELS = (2, 4, 8)
"""Of the curves, in grey levels of 255."""


@suite(paper="arXiv:1706.06083")
def hardened(samples: PositiveInt = 32, eps: Budget = 4 / 255, steps: PositiveInt = 20, queries: PositiveInt = 200) -> Suite:
    """Each hardened model of the zoo after the undefended model of the same architecture, size and data.

    eps: the L-infinity budget beside the curves; the models were trained at 4/255. steps, queries: of AutoAttack; 100 and 5000 are the
    reference's, below them what survives may still fall.
    """
    classifiers = (
        Condition("noise", attack=f"noise(eps={eps})"),
        *budgets("pgd", "pgd(eps={eps}, steps=10)", LEVELS),
        Condition("autoattack", attack=f"autoattack(eps={eps}, steps={steps}, queries={queries})"),
    )
    detectors = (
        Condition("noise", attack=f"noise(eps={eps})"),
        *budgets("tog-vanish", "tog-vanish(eps={eps})", LEVELS),
        Condition("tog-untargeted", attack=f"tog-untargeted(eps={eps})"),
        Condition("tog-fabricate", attack=f"tog-fabricate(eps={eps})"),
    )
    tracks = (
        _track("classification", "cifar-resnet20.scenes", classifiers, ("top-1",), samples),
        _track("detection", "retinanet-small.scenes", detectors, ("ap50", "ap", "fabricated-per-image"), samples),
    )
    return Suite(
        "hardened",
        version=1,
        tracks=tracks,
        reports=("overview", "main-table", "budget-curve", "comparison", "gallery", "checks", "protocol"),
    )


def _track(task: Task, twin: str, conditions: tuple[Condition, ...], metrics: tuple[str, ...], samples: int) -> Track:
    return Track(task, (twin, f"{twin}-hardened"), ("scenes",), (CLEAN, *conditions), metrics, samples)
