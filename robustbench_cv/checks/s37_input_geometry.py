"""S37: do images reach the model upright, at its own size, and whole?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.input_geometry import sizes, symmetries
from robustbench_cv.checks.input_search import report
from robustbench_cv.checks.scaled_inside import scaled_inside

_TITLE = "orientation and size"


@check(
    stage="before",
    needs="s22-boxes",
    cost="search",
    action="stop warn",
    gives="the quality as declared and under the best change, its p-value, and how many samples decided",
)
def s37_input_geometry() -> Before:
    """Turns, mirrors and transposes images, resizes and crops them; where the model is better for it, images reach it in another frame."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    return report("S37", _TITLE, *scaled_inside(subject, [*symmetries(subject.task), *sizes()]))
