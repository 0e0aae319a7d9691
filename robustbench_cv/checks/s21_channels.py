"""S21: do model and data agree on the order of the colour channels?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.quality import compare_finely, measure, no_evidence
from robustbench_cv.findings import Finding

_TITLE = "channel order"


@check(stage="before", needs="s01-range s05-mode s07-batch s08-randomness")
def s21_channels() -> Before:
    """Swaps red and blue; where that is significantly better, one side reads BGR."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    declared = measure(subject, subject.clean_predictions)
    comparison = compare_finely("red and blue swapped", declared, measure(subject, subject.predictions(lambda x: x.flip(1))))
    nothing = no_evidence(declared, [comparison])
    if nothing:
        return Finding("S21", _TITLE, "not applicable", nothing)
    if not comparison.is_better:
        return Finding("S21", _TITLE, "pass", str(comparison))
    remedy = "the model (or the images) are BGR: flip the channels inside the model, x.flip(1), or read images as RGB"
    return Finding("S21", _TITLE, comparison.verdict, str(comparison), remedy, gain=comparison.gain)
