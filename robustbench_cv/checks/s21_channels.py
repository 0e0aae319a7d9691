"""S21: do model and data agree on the order of the colour channels?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Finding, Preflight
from robustbench_cv.checks.quality import compare, predictions, qualities


@check(stage="before")
def s21_channels() -> Before:
    """Swaps red and blue; where that is significantly better, one side reads BGR."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    declared = qualities(subject, predictions(subject))
    swapped = compare("red and blue swapped", declared, qualities(subject, predictions(subject, lambda x: x.flip(1))))
    if swapped.is_better:
        remedy = "the model (or the images) are BGR: flip the channels inside the model, x.flip(1), or read images as RGB"
        return Finding("S21", "channel order", "stop", str(swapped), remedy)
    return Finding("S21", "channel order", "pass", str(swapped))
