"""Attacks on segmenters at small cost: each pixel's loss, its schedules, other classes, the worst of four, one for all images."""

from robustbench_cv.arguments import Budget, PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track, budgets

MODELS = ("fcn8s", "segnet", "unet", "pspnet", "deeplabv3plus")
LEVELS = (1, 2, 4, 8)
"""Of the curves, in grey levels of 255."""
REPORTS = ("main-table", "budget-curve", "perturbations", "query-cost", "by-class", "gallery", "checks", "protocol")


@suite()
def attacks_segmentation(samples: PositiveInt = 32, eps: Budget = 8 / 255) -> Suite:
    """What each attack leaves of the mIoU and the pixel accuracy of the bundled segmenters, within one budget, and curves over budgets.

    eps: the L-infinity budget. SEA is the worst case by image, the image chosen by its pixel accuracy. Steps are far below the papers'.
    One perturbation for all images is given twice the budget: less hardly shows on FCN-8s and SegNet. The noise beside is of its size.
    spsa-pixels and nes-pixels are left out: for the same queries square does more on every one of these models.
    """
    one_image = {
        "pixel-pgd": f"pixel-pgd(eps={eps}, steps=10)",
        "dag (paper's form)": f"seg-dag(eps={eps}, steps=60, gamma=1/255)",
        "sea (worst case by image)": f"sea(eps={eps}, steps=20)",
        "square": f"square-pixels(eps={eps}, queries=300)",
        "universal": f"seg-universal(eps={2 * eps}, limit=48, steps=80)",
        "patch": "seg-patch(limit=48, steps=80)",
    }
    conditions = (
        CLEAN,
        Condition("noise", attack=f"noise(eps={eps})"),
        Condition("noise, twofold", attack=f"noise(eps={2 * eps})"),
        *budgets("seg-pgd", "seg-pgd(eps={eps}, steps=10)", LEVELS),
        *budgets("cospgd", "cospgd(eps={eps}, steps=10)", LEVELS),
        *(Condition(name, attack=spec) for name, spec in one_image.items()),
    )
    models = tuple(f"{name}.scenes" for name in MODELS)
    track = Track("segmentation", models, ("scenes",), conditions, ("miou", "pixel-accuracy"), samples)
    return Suite("attacks-segmentation", version=2, tracks=(track,), reports=REPORTS)
