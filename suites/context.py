"""Does the model see the object or its context? Removal, swap and occlusion with their controls, for any task and any data."""

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task

_MODELS: dict[Task, tuple[str, ...]] = {
    "classification": ("cifar-resnet20.scenes", "lenet5.scenes"),
    "segmentation": ("unet.scenes",),
    "detection": ("yolov3-small.scenes",),
}
_METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("top-1", "hallucination-rate"),
    "segmentation": ("miou", "pixel-accuracy", "hallucination-rate", "hallucination-inside", "hallucination-outside", "hallucinated-area"),
    "detection": ("ap", "ap50", "hallucination-rate", "hallucination-inside", "hallucination-outside", "fabricated-per-image"),
}


@suite(paper="arXiv:1812.06707")
def context(what: str = "auto", fill: str = "telea", samples: PositiveInt = 200) -> Suite:
    """Remove objects, give them another context, hide parts of them; each beside its placebo.

    what: which objects (see `show intervention remove`): "auto", "random-class", or a class such as "car". fill: the in-painter.
    """
    conditions = (
        CLEAN,
        Condition(f"{what} removed", (f"remove(what={what!r}, fill={fill!r})",)),
        Condition("context swapped", (f"swap-context(to='random', what={what!r}, fill={fill!r})",)),
        Condition("context gray", (f"swap-context(to='gray', what={what!r}, fill={fill!r})",)),
        *(
            Condition(f"occluded {share:.0%}", (f"occlude(share={share}, what={what!r})",), severity=share, curve="occlusion")
            for share in (0.25, 0.5, 0.75)
        ),
    )
    tracks = tuple(Track(task, _MODELS[task], ("scenes",), conditions, _METRICS[task], samples) for task in _MODELS)
    reports = ("overview", "main-table", "context-sensitivity", "class-context", "occlusion-curve", "gallery", "checks", "protocol")
    return Suite("context", version=2, tracks=tracks, reports=reports)
