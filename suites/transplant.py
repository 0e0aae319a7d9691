"""The elephant in the room: an object of another image at places of a grid, and what a model then says of it and of all else."""

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
    "classification": ("top-1", "object-recall", "nonlocal-change"),
    "segmentation": ("miou", "object-recall", "nonlocal-change"),
    "detection": (
        *("ap", "object-recall", "misnamed", "nonlocal-change", "nonlocal-lost", "nonlocal-relabelled", "nonlocal-moved"),
        *("nonlocal-boxes", "new-classes"),
    ),
}


@suite(paper="arXiv:1808.03305")
def transplant(places: PositiveInt = 9, partner: str = "random", samples: PositiveInt = 100) -> Suite:
    """Paste one object of another image at places of a grid: is it seen wherever it is, and does what is far from it stay as it was?

    places: how many of the grid's (at most 100) each image is shown with, at random. partner: the class of the object (see
    `show intervention transplant`): "random", "congruent", "incongruent", or "compare": the last two beside each other. Every place has a
    placebo, a patch of the other image's background of the same shape.
    """
    partners = ("congruent", "incongruent") if partner == "compare" else (partner,)
    conditions = (
        CLEAN,
        *(
            Condition(f"place {k + 1}" if one == "random" else f"place {k + 1}, {one}", (f"transplant(draw={k}, partner={one!r})",))
            for one in partners
            for k in range(places)
        ),
    )
    tracks = tuple(Track(task, _MODELS[task], ("scenes",), conditions, _METRICS[task], samples) for task in _MODELS)
    return Suite("transplant", version=1, tracks=tracks, reports=("overview", "transplant", "gallery", "checks", "protocol"))
