"""What is left when objects are hidden: the levels of OccludedPASCAL3D+ with four kinds of occluders, for any data with masks."""

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task

TEXTURES = ("object", "gray", "noise", "patch")

_LEVELS = (1, 2, 3)

_MIDDLES = {1: 0.3, 2: 0.5, 3: 0.7}
"""Of each level's range of the covered share of an object: its place on the curve."""

_MODELS: dict[Task, tuple[str, ...]] = {
    "classification": ("cifar-resnet20.scenes",),
    "segmentation": ("unet.scenes",),
    "detection": ("yolov3-small.scenes",),
}
_METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("top-1", "object-recall"),
    "segmentation": ("miou", "object-recall", "pixel-accuracy"),
    "detection": (
        *(
            "ap50",
            "object-recall",
            "fabricated-per-image",
            "errors-per-image",
            "whole-box-recall",
            "occluded-box-recall",
            "separated-box-recall",
        ),
        *("whole-recall", "occluded-recall", "separated-recall"),
    ),
}
_REPORTS = (
    *("overview", "occlusion-levels", "occlusion-recall", "occlusion-curve", "main-table", "context-sensitivity"),
    *("detection-errors", "by-class", "by-size", "gallery", "checks", "protocol"),
)


@suite(paper="arXiv:2005.11643")
def occlusion(what: str = "auto", samples: PositiveInt = 50) -> Suite:
    """Objects and context occluded to levels 1 to 3 by other objects, gray, noise and background; recall of hidden and of split objects.

    what: which objects (see `show intervention occlude`). Other objects occlude in all nine pairs of levels, the rest where both are equal.
    """
    tracks = tuple(Track(task, _MODELS[task], ("scenes",), _conditions(what), _METRICS[task], samples) for task in _MODELS)
    return Suite("occlusion", version=1, tracks=tracks, reports=_REPORTS)


def _conditions(what: str) -> tuple[Condition, ...]:
    spec = "occlusion-level(foreground={}, background={}, what={!r}, texture={!r})"
    along = [
        Condition(f"{texture} L{k}", (spec.format(k, k, what, texture),), severity=_MIDDLES[k], curve=texture)
        for texture in TEXTURES
        for k in _LEVELS
    ]
    rest = [Condition(f"object FGL{f} BGL{b}", (spec.format(f, b, what, "object"),)) for f in _LEVELS for b in _LEVELS if f != b]
    return (CLEAN, *along, *rest)
