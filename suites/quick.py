"""The three tasks on rendered scenes with the bundled models, in minutes on a CPU."""

from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Gate, Suite, Track, budgets
from robustbench_cv.tasks import Task


def _occlusions(shares: tuple[float, ...] = (0.25, 0.5, 0.75)) -> tuple[Condition, ...]:
    return tuple(Condition(f"occluded {share:.0%}", (f"occlude(share={share})",), severity=share, curve="occlusion") for share in shares)


def _track(task: Task, models: tuple[str, ...], metrics: tuple[str, ...], conditions: tuple[Condition, ...]) -> Track:
    return Track(task, models, ("scenes",), (CLEAN, *conditions), metrics, samples=64 if task == "classification" else 32)


@suite()
def quick() -> Suite:
    """Clean, two attacks a task, removal, context swap and occlusion, on Scenes: the first look, and the smoke test of a set-up."""
    classification = _track(
        "classification",
        ("cifar-resnet20.scenes", "lenet5.scenes"),
        ("top-1", "hallucination-rate"),
        (
            *budgets("pgd", "pgd(eps={eps}, steps=10)", (0.5, 1, 2)),
            *budgets("apgd", "apgd(eps={eps}, steps=10)", (1,)),
            Condition("object removed", ("remove()",)),
            Condition("context swapped", ("swap-context(to='random')",)),
            Condition("context gray", ("swap-context(to='gray')",)),
            *_occlusions(),
        ),
    )
    segmentation = _track(
        "segmentation",
        ("unet.scenes",),
        ("miou", "pixel-accuracy", "hallucination-rate", "hallucinated-area"),
        (
            *budgets("seg-pgd", "seg-pgd(eps={eps}, steps=10)", (0.5, 1, 2)),
            *budgets("pixel-pgd", "pixel-pgd(eps={eps}, steps=10)", (1,)),
            Condition("class removed", ("remove(what='random-class')",)),
            Condition("context swapped", ("swap-context(to='random')",)),
            *_occlusions(),
        ),
    )
    detection = _track(
        "detection",
        ("yolov3-small.scenes",),
        ("ap", "ap50", "hallucination-rate", "hallucination-inside", "hallucination-outside", "fabricated-per-image"),
        (
            *budgets("tog-vanish", "tog-vanish(eps={eps}, steps=10, alpha=2/255, decay=0, odds=0)", (1, 2, 4)),
            *budgets("tog-fabricate", "tog-fabricate(eps={eps}, steps=10, alpha=2/255, decay=0)", (2,)),
            Condition("class removed", ("remove(what='random-class')",)),
            Condition("context swapped", ("swap-context(to='random')",)),
            *_occlusions(),
        ),
    )
    return Suite(
        "quick",
        version=3,
        tracks=(classification, segmentation, detection),
        gates=(Gate("top-1", "clean", 0.5, "cifar-resnet20.scenes"),),
        reports=(
            "overview",
            "main-table",
            "context-sensitivity",
            "iou-by-class",
            "detection-attacks",
            "budget-curve",
            "occlusion-curve",
            "complexity",
            "gallery",
            "checks",
            "protocol",
        ),
        strength=0,
    )
