"""S21: do model and data agree on the order of the colour channels, and on the space of colours?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.input_search import report
from robustbench_cv.checks.transform_families import colours
from robustbench_cv.findings import Finding

_TITLE = "channel order"


@check(stage="before", needs="s01-range s05-mode s07-batch s08-randomness")
def s21_channels() -> Before:
    """Tries the five other orders of the channels, YCbCr and Caffe's BGR of 0-255; where one is better, one side reads otherwise."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    return report("S21", _TITLE, subject, colours())
