"""From which side does a model know an object? The same scenes with every object turned by the same angle, all the way round."""

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task

DEGREES = (-150, -120, -90, -60, -30, 30, 60, 90, 120, 150, 180)
"""From behind (-90) over the side (0, as it is drawn) and the front (90) to the other side (180)."""

_TRACKS: dict[Task, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "classification": (("cifar-resnet20.scenes", "lenet5.scenes"), ("top-1", "object-recall")),
    "segmentation": (("unet.scenes",), ("miou", "object-recall")),
    "detection": (("yolov3-small.scenes",), ("ap", "ap50", "object-recall")),
}


@suite()
def viewpoint(samples: PositiveInt = 100) -> Suite:
    """Scenes seen from eleven other sides, exactly: every object turned where it stands, by up to half a turn either way.

    Needs rendered data. At 180 degrees an object shows its other side, a view as usual as the one that it was drawn in.
    """
    turns = tuple(
        Condition(f"turned by {angle} degrees", (f"viewpoint(azimuth={angle})",), severity=float(angle), curve="viewpoint")
        for angle in DEGREES
    )
    tracks = tuple(Track(task, models, ("scenes",), (CLEAN, *turns), metrics, samples) for task, (models, metrics) in _TRACKS.items())
    return Suite(
        "viewpoint", version=1, tracks=tracks, reports=("overview", "context-curves", "main-table", "gallery", "checks", "protocol")
    )
