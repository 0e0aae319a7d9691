"""S32: does the model score as many classes as it has names?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.types import Candidates

_TITLE = "as many scores as classes"


@check(
    stage="before",
    needs="s07-batch",
    cost="passes",
    action="stop",
    gives="how many scores the model gives, and how many class names it has",
)
def s32_class_count() -> Before:
    """The model's output has one score for each class name: attacks and metrics count classes by the one, and name them by the other."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    raw = subject.alone[0].raw
    scores = int(raw.log_score.shape[2] if isinstance(raw, Candidates) else raw.values.shape[1])
    names = len(subject.model.info.classes)
    if scores == names:
        return Finding("S32", _TITLE, "pass", f"{scores} scores for {names} class names")
    more = (
        "drop the scores that stand for no class (a background in front, padding)" if scores > names else "leave out names without a score"
    )
    remedy = f"{more}, or give one name for each score, in the order of the scores"
    return Finding("S32", _TITLE, "stop", f"the model gives {scores} scores and has {names} class names", remedy)
