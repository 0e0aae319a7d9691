"""What training with other contexts bought and what it cost: models before and after it, in their usual context and out of it."""

from typing import Annotated

from robustbench_cv.arguments import Fraction, PositiveInt, Range
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task

_METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("top-1", "object-recall", "hallucination-rate"),
    "segmentation": ("miou", "object-recall", "hallucination-rate"),
    "detection": ("ap", "object-recall", "hallucination-rate"),
}

_REPORTS = ("context-index", "context-index-by-class", "context-sensitivity", "gallery", "checks", "protocol")


@suite(paper="arXiv:1812.06707")
def context_hardening(
    samples: PositiveInt = 200,
    size: Annotated[int, Range(32, 1024)] = 96,
    fill: str = "telea",
    most_lost: Fraction = 0.01,
    least_gained: Fraction = 0.1,
) -> Suite:
    """Did it help to train with other contexts? The first --model is the plain one, each further one is compared with it.

    On Scenes at bias 1 (every object in its class's usual context) and bias 0 (none), or on the data given: one data set, clean and with
    contexts swapped, or two, the first in context and the second out of it. size: side in px of the Scenes, as the models were trained.
    fill: the in-painter. most_lost, least_gained: of accuracy, mIoU or AP, in context and out of it, for it to have helped. Not to be
    confused with the suite `hardened`, which is about adversarial training.
    """
    data = tuple(f"scenes(bias={bias}, size={size})" for bias in (1.0, 0.0))
    conditions = (
        CLEAN,
        Condition("objects removed", (f"remove(fill={fill!r})",)),
        Condition("objects removed (exact)", ("remove(fill='exact')",)),
        Condition("context swapped", (f"swap-context(to='random', fill={fill!r})",)),
        Condition("context swapped (exact)", ("swap-context(to='exact')",)),
    )
    tracks = tuple(Track(task, (), data, conditions, _METRICS[task], samples) for task in _METRICS)
    return Suite(
        "context-hardening",
        version=1,
        tracks=tracks,
        reports=(f"hardening(most_lost={most_lost!r}, least_gained={least_gained!r})", *_REPORTS),
    )
