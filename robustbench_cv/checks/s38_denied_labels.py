"""S38: does a sure model deny many of the labels?"""

from __future__ import annotations

import math

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.compare_readings import measure
from robustbench_cv.types import ClassPrediction, ClassTarget

_TITLE = "labels that a sure model denies"
_SURE = 0.9
_SHARE = 0.15
"""Share of the samples on which the model is sure of another class from which labels are suspect (project choice)."""
_SELDOM = 0.05
"""Probability that the model itself gives to being wrong on these, at most: one that is overconfident says less and errs more, so that
this is a note and no more."""


@check(
    stage="before",
    needs="s32-class-count",
    cost="passes",
    action="note",
    gives="how many labels a sure model denies, how many it should, and the first of them",
)
def s38_denied_labels() -> Before:
    """Counts labels to which a model that is sure of another class gives next to nothing: wrong, or an overconfident model."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    if subject.task != "classification":
        return Finding("S38", _TITLE, "not applicable", "told of classifiers alone")
    told = [
        (p.probs, s.target.label, s.id)
        for p, s in zip(subject.clean_predictions, subject.samples, strict=True)
        if isinstance(p, ClassPrediction) and isinstance(s.target, ClassTarget) and 0 <= s.target.label < len(p.probs)
    ]
    quality = measure(subject, subject.clean_predictions)
    if len(told) < 32 or quality.skill < 0.3:
        return Finding("S38", _TITLE, "not applicable", "the model is not right often enough to speak of labels")
    sure = [(float(p.max()), y, id_, p) for p, y, id_ in told if float(p.max()) >= _SURE]
    denied = [id_ for _, y, id_, p in sure if int(p.argmax()) != y]
    expected = sum(1 - top for top, *_ in sure)
    evidence = f"of {len(told)} samples the model is sure of another class than the label on {len(denied)} ({expected:.1f} expected)"
    rate = max(expected, 1e-3)
    fewer = sum(math.exp(k * math.log(rate) - rate - math.lgamma(k + 1)) for k in range(len(denied)))
    chance = 1.0 - fewer  # of a Poisson variable
    if len(denied) >= _SHARE * len(told) and expected <= _SELDOM * len(told) and chance < 1e-4:
        remedy = f"look at these: labels may be wrong (or the model is overconfident): {', '.join(map(repr, denied[:5]))}"
        return Finding("S38", _TITLE, "note", evidence, remedy)
    return Finding("S38", _TITLE, "pass", evidence)
