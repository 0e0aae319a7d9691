"""Thirty years of architecture on the same scenes: every bundled model, clean, attacked, and with its context changed."""

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task

CLASSIFIERS = (
    "lenet5",
    "alexnet-original",
    "network-in-network-cifar",
    "vgg-mini",
    "googlenet",
    "cifar-resnet20",
    "densenet-mini",
    "seresnet-mini",
    "mobilenet-v2-mini",
    "shufflenet-v1",
    "vit-mini",
)
SEGMENTERS = ("fcn8s", "deconvnet", "segnet", "unet", "pspnet", "deeplabv3plus")
DETECTORS = (
    "sliding-window",
    "dpm",
    "localisation-regression",
    "rcnn",
    "sppnet",
    "fast-rcnn",
    "faster-rcnn-small",
    "yolov1",
    "ssd300",
    "yolov2",
    "faster-rcnn-fpn-small",
    "mask-rcnn-small",
    "retinanet-small",
    "yolov3-small",
)


@suite()
def history(samples: PositiveInt = 200) -> Suite:
    """What thirty years of architecture changed, clean and under attack, with and without context.

    samples: scenes a task.
    """
    context = (
        Condition("context swapped", ("swap-context(to='random')",)),
        Condition("context gray", ("swap-context(to='gray')",)),
    )

    def track(task: Task, models: tuple[str, ...], metrics: tuple[str, ...], *attacks: Condition) -> Track:
        return Track(task, tuple(f"{name}.scenes" for name in models), ("scenes",), (CLEAN, *attacks, *context), metrics, samples)

    tracks = (
        track("classification", CLASSIFIERS, ("top-1",), _attack("pgd", 1), _attack("pgd", 4)),
        track("segmentation", SEGMENTERS, ("miou",), _attack("seg-pgd", 1), _attack("seg-pgd", 4)),
        track("detection", DETECTORS, ("ap50", "ap"), _attack("tog-vanish", 1, PAPERS), _attack("tog-vanish", 4, PAPERS)),
    )
    return Suite(
        "history", version=3, tracks=tracks, reports=("history", "context-sensitivity", "gallery", "checks", "protocol"), strength=0
    )


PAPERS = ", alpha=2/255, decay=0, odds=0"
"""TOG as published: without what the library adds to it."""


def _attack(name: str, level: int, more: str = "") -> Condition:
    """Ten steps within `level` grey levels of 255."""
    return Condition(f"{name} {level}/255", attack=f"{name}(eps={level}/255, steps=10{more})", severity=level / 255, curve=name)
