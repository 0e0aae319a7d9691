"""Which models look at the object? Their answers explained by several methods, beside what they are worth."""

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Suite, Track
from robustbench_cv.tasks import Task

_TRACKS: dict[Task, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "classification": (("cifar-resnet20.scenes", "lenet5.scenes"), ("top-1", "object-recall")),
    "segmentation": (("unet.scenes",), ("miou", "object-recall")),
    "detection": (("yolov3-small.scenes",), ("ap", "object-recall")),
}

METHODS = ("occlusion", "gradient", "integrated-gradients", "grad-cam")


@suite(paper="arXiv:1311.2901")
def explanations(method: str = "all", samples: PositiveInt = 100) -> Suite:
    """How much of the relevance lies on the object, by occlusion maps, gradients, integrated gradients and Grad-CAM.

    method: one of `robustbench-cv explain`, such as "occlusion(side=16)" or "lrp", or "all" of the four. Explained are 32 of the samples.
    """
    methods = METHODS if method == "all" else (method,)
    tracks = tuple(
        Track(task, models, ("scenes",), (CLEAN,), metrics, samples, explanations=methods) for task, (models, metrics) in _TRACKS.items()
    )
    return Suite("explanations", version=1, tracks=tracks, reports=("overview", "explanations", "main-table", "checks", "protocol"))
