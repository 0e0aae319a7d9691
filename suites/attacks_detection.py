"""Attacks on detectors at small cost: objects lost, made up, renamed, flooded with boxes, hidden by stickers; one and two stages."""

from robustbench_cv.arguments import Budget, PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track, budgets

MODELS = (
    "faster-rcnn-small",
    "ssd300",
    "yolov2",
    "faster-rcnn-fpn-small",
    "mask-rcnn-small",
    "retinanet-small",
    "yolov3-small",
)
LEVELS = (1, 2, 4, 8)
"""Of the curve, in grey levels of 255."""
PATCH = "area=0.2, limit=64, steps=80"
"""Share of the image's area, and what the fit costs."""
REPORTS = (
    "main-table",
    "detection-attacks",
    "detection-errors",
    "by-size",
    "budget-curve",
    "perturbations",
    "query-cost",
    "gallery",
    "checks",
    "protocol",
)


@suite()
def attacks_detection(samples: PositiveInt = 32, eps: Budget = 8 / 255) -> Suite:
    """What each attack leaves of the average precision of the bundled detectors, within one budget, and a curve over budgets.

    eps: the L-infinity budget. rap is on region proposals: it does not apply to the others. Steps are the library's own for TOG, twice
    that on the curve, below the papers' for the rest. square-vanish, which sees scores alone, is given twice the budget and noise of its
    size beside it. dpatch and robust-dpatch, on a fifth of the image's area, stand beside their own colours shuffled; patches on objects'
    surfaces are in `stickers`.
    """
    one_image = {
        "tog-untargeted": f"tog-untargeted(eps={eps})",
        "tog-fabricate": f"tog-fabricate(eps={eps})",
        "tog-mislabel (most likely)": f"tog-mislabel(eps={eps})",
        "tog-mislabel (least likely)": f"tog-mislabel(eps={eps}, towards='least-likely')",
        "dag": f"dag(eps={eps}, steps=40, gamma=2/255)",
        "rap": f"rap(eps={eps}, steps=30)",
        "daedalus": f"daedalus(eps={eps}, steps=20)",
        "square-vanish": f"square-vanish(eps={2 * eps}, queries=400)",
    }
    patches = {"dpatch": f"dpatch(target='person', {PATCH})", "robust-dpatch": f"robust-dpatch({PATCH})"}
    conditions = (
        CLEAN,
        Condition("noise", attack=f"noise(eps={eps})"),
        Condition("noise, twofold", attack=f"noise(eps={2 * eps})"),
        *budgets("tog-vanish", "tog-vanish(eps={eps}, steps=40)", LEVELS),
        *(Condition(name, attack=spec) for name, spec in one_image.items()),
        *(
            c
            for name, spec in patches.items()
            for c in (Condition(name, attack=spec), Condition(f"{name}, shuffled", attack=spec, judged="shuffled"))
        ),
        Condition("sticker on cars", attack="sticker-hide(limit=64, steps=80)"),
    )
    metrics = ("ap50", "ap", "fabricated-per-image", "errors-per-image")
    track = Track("detection", tuple(f"{name}.scenes" for name in MODELS), ("scenes",), conditions, metrics, samples)
    return Suite("attacks-detection", version=3, tracks=(track,), reports=REPORTS)
