"""What do noise, blur, weather and compression break? ImageNet-C's corruptions, for any task and any data."""

from typing import Literal

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.interventions.corruption_facts import HELD_OUT, SCORED
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task

_TRACKS: dict[Task, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "classification": (("cifar-resnet20.scenes", "lenet5.scenes"), ("top-1", "ece")),
    "segmentation": (("unet.scenes",), ("miou", "pixel-accuracy", "ece")),
    "detection": (("yolov3-small.scenes",), ("ap", "ap50", "errors-per-image", "ece")),
}


@suite(paper="arXiv:1903.12261")
def corruptions(
    where: Literal["everywhere", "object", "context", "compare"] = "everywhere",
    severities: str = "",
    held_out: bool = False,
    samples: PositiveInt = 100,
) -> Suite:
    """The 15 corruptions of ImageNet-C at five severities, for mPC, rPC and errors by corruption.

    where: which pixels are corrupted; "compare" takes the objects alone beside all but the objects, at severity 3 unless said otherwise:
    which of the two does the model read? severities: such as "1,3,5". held_out: the four that ImageNet-C keeps for
    validation, too. samples: of each track's data.
    """
    names = (*SCORED, *HELD_OUT) if held_out else SCORED
    steps = [int(step) for step in severities.split(",")] if severities else [3] if where == "compare" else [1, 2, 3, 4, 5]
    places = ("object", "context") if where == "compare" else (where,)
    conditions = (CLEAN, *(_condition(name, step, place) for name in names for step in steps for place in places))
    tracks = tuple(Track(task, models, ("scenes",), conditions, metrics, samples) for task, (models, metrics) in _TRACKS.items())
    # pictures of one severity: of all five they would weigh 40 MB
    shown = ("gallery",) if len(steps) == 1 else ()
    return Suite(
        "corruptions",
        version=1,
        tracks=tracks,
        reports=("overview", "corruptions", "detection-errors", "reliability", "by-class", *shown, "checks", "protocol"),
    )


def _condition(name: str, severity: int, where: str) -> Condition:
    suffix = "" if where == "everywhere" else f" on the {where}"
    return Condition(f"{name} {severity}{suffix}", (f"{name}(severity={severity}, where={where!r})",), severity=severity)
