"""The plain adversarial baseline: one L-infinity attack a task at one budget, for any model and any data."""

from robustbench_cv.arguments import Budget, PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task


@suite(paper="arXiv:1706.06083")
def linf(eps: Budget = 8 / 255, steps: PositiveInt = 40, samples: PositiveInt = 200) -> Suite:
    """PGD on classifiers, SegPGD on segmenters, TOG-vanish and TOG-fabricate on detectors, all within the same budget.

    eps: budget in [0, 1] pixel units (8/255). steps: gradient steps of each attack.
    """

    def conditions_of(*names: str) -> tuple[Condition, ...]:
        return (CLEAN, *(Condition(name, attack=f"{name}(eps={eps}, steps={steps})", severity=eps, curve=name) for name in names))

    def track(task: Task, model: str, conditions: tuple[Condition, ...], *metrics: str) -> Track:
        return Track(task, (model,), ("scenes",), conditions, metrics, samples)

    tracks = (
        track("classification", "cifar-resnet20.scenes", conditions_of("pgd"), "top-1"),
        track("segmentation", "unet.scenes", conditions_of("seg-pgd"), "miou", "pixel-accuracy"),
        track("detection", "yolov3-small.scenes", conditions_of("tog-vanish", "tog-fabricate"), "ap", "ap50", "fabricated-per-image"),
    )
    return Suite("linf", version=2, tracks=tracks, reports=("overview", "main-table", "gallery", "checks", "protocol"))
