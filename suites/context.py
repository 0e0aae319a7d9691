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
    "classification": ("top-1", "object-recall", "hallucination-rate", "label-probability"),
    "segmentation": (
        *("miou", "object-recall", "pixel-accuracy", "hallucination-rate", "hallucination-inside", "hallucination-outside"),
        "hallucinated-area",
    ),
    "detection": (
        *("ap", "object-recall", "ap50", "hallucination-rate", "hallucination-inside", "hallucination-outside", "fabricated-per-image"),
        *("detection-rate", "detection-score"),
    ),
}
_REPORTS = (
    *("overview", "context-index", "context-index-by-class", "removal-matrix", "main-table", "context-sensitivity"),
    *("with-and-without-class", "iou-by-class", "context-violations", "fill-fidelity", "occlusion-curve", "context-curves"),
    *("corruptions", "context-shift", "context-compatibility", "domain-shift", "explanations", "gallery", "checks", "protocol"),
)


@suite(paper="arXiv:1812.06707")
def context(what: str = "auto", fill: str = "telea", samples: PositiveInt = 100) -> Suite:
    """Remove objects, give them another context, hide parts of them; each beside its placebo: how much of an answer is the object's?

    what: which objects (see `show intervention remove`): "auto", "random-class", or a class such as "car". fill: the in-painter of the
    headline; two more and, on rendered data, the exact counterfactual stand beside it.
    """
    tracks = tuple(
        Track(task, _MODELS[task], ("scenes",), _conditions(task, what, fill), _METRICS[task], samples, explanations=("grad-cam",))
        for task in _MODELS
    )
    return Suite("context", version=3, tracks=tracks, reports=_REPORTS)


def _conditions(task: Task, what: str, fill: str) -> tuple[Condition, ...]:
    fills = [fill, *[other for other in ("telea", "blur", "tile") if other != fill][:2], "exact"]
    named, objects = f"what={what!r}", "objects" if what == "auto" else what
    return (
        CLEAN,
        *(
            Condition(f"{objects} removed" + (f" ({one})" if one != fill else ""), (f"remove({named}, fill={one!r})",))
            for one in dict.fromkeys(fills)
        ),
        Condition("context swapped", (f"swap-context(to='random', {named}, fill={fill!r})",)),
        Condition("context swapped (exact)", (f"swap-context(to='exact', {named})",)),
        Condition("context gray", (f"swap-context(to='gray', {named}, fill={fill!r})",)),
        *_other_classes(task, fill),
        *(_step("occlusion", share, f"occlude(share={share:g}, {named})", f"occluded {share:.0%}") for share in _SHARES),
        *(_step("context shown", ratio, f"crop-context(ratio={ratio}, {named})", f"context {ratio}x") for ratio in (0, 2, 4, 8)),
        *(_step("context blurred", px, f"blur-context(sigma={px}, {named})", f"context blurred {px} px") for px in _SIGMAS),
        *(_step("object blurred", px, f"blur-object(sigma={px}, {named})", f"object blurred {px} px") for px in _SIGMAS),
        *(
            Condition(f"{name} 3 on the {place}", (f"{name}(severity=3, where={place!r}, {named})",))
            for name in ("gaussian_noise", "fog")
            for place in ("object", "context")
        ),
    )


_SHARES = tuple(k / 10 for k in range(1, 11))

_SIGMAS = (2, 4, 8, 16, 32)


def _step(curve: str, level: float, spec: str, name: str) -> Condition:
    return Condition(name, (spec,), severity=float(level), curve=curve)


def _other_classes(task: Task, fill: str) -> tuple[Condition, ...]:
    """Up to three classes of an image removed, each by itself: for V_min the other ones than the label's, for the matrix the first by
    name."""
    which, name = ("context-class", "other class") if task == "classification" else ("any-class", "class")
    return tuple(Condition(f"{name} {k + 1} removed", (f"remove(what='{which}:{k}', fill={fill!r})",)) for k in range(3))
