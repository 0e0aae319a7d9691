"""S02: does the model normalise its input exactly once, and as it was trained?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.input_search import report
from robustbench_cv.checks.transform_families import values

_TITLE = "normalisation"


@check(
    stage="before",
    needs="s32-class-count",
    cost="search",
    action="stop warn",
    gives="the quality as declared and under the best change, its p-value, and how many samples decided",
)
def s02_normalisation() -> Before:
    """Undoes the usual normalisations, scales, gammas and the negative; where one makes the model better, the declared one is wrong."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    return report("S02", _TITLE, subject, values())
