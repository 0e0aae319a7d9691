"""S23: does a detector report all that average precision ranks, and does anybody reach its operating score?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch

from robustbench_cv import boxes
from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding, Verdict
from robustbench_cv.checks.best_threshold import best_operation
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.compare_readings import SIGNIFICANT, measure
from robustbench_cv.checks.fixes import fix_of_score
from robustbench_cv.metrics.paired_tests import sign_flips
from robustbench_cv.types import BoxPrediction, BoxTarget

_TITLE = "what a detector reports"
_FLOOR, _HIGH = 0.1, 0.3
"""The lowest of the reported scores from which on there is a note, and a warning: most report from 0.001 or 0.05 on (project choice;
0.25 is the floor of Ultralytics' own predictions, and of some detectors' papers)."""
_ENOUGH = 16
_SAME = 0.85
"""Overlap from which two boxes of one class are the same one: suppression at 0.5 to 0.7 leaves none (project choice)."""
_MANY = 0.2
"""Share of the reported boxes that repeat a surer one from which nothing was suppressed (project choice)."""
_POOR = 0.25
"""Mean F1 that a detector must gain at another score for its own to be worth a note (project choice)."""
_USELESS = 0.1
"""Mean F1 at the declared score below which it is a warning: hardly anything reaches it, or all does (project choice)."""


@check(
    stage="before",
    needs="s32-class-count",
    cost="passes",
    action="warn note",
    gives="the lowest score, boxes an image, duplicates, and the F1 at the declared score and at the best",
)
def s23_reported() -> Before:
    """Boxes are neither cut at a high score nor at a few an image, duplicates are suppressed, and the operating score suits the model."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    if subject.task != "detection":
        return Finding("S23", _TITLE, "not applicable", "only detectors report what they choose")
    said = [p for p in subject.clean_predictions if isinstance(p, BoxPrediction)]
    total = sum(len(p.scores) for p in said)
    if total < _ENOUGH:
        return Finding("S23", _TITLE, "not applicable", f"{total} boxes are too few to tell")
    return _of_duplicates(said) or _of_score(subject) or _of_most(subject, said) or _of_floor(said, total)


def _of_floor(said: Sequence[BoxPrediction], total: int) -> Finding:
    lowest = min(float(p.scores.min()) for p in said if len(p.scores))
    evidence = f"{total} boxes on {len(said)} images, with scores from {lowest:.3g} on"
    if lowest > _FLOOR:
        remedy = "report boxes from a score of 0.001 (0.05 at most) on: average precision ranks what a threshold hides"
        verdict: Verdict = "warn" if lowest > _HIGH else "note"
        return Finding("S23", _TITLE, verdict, f"{evidence}: average precision misses those below", remedy, gain=0.0)
    return Finding("S23", _TITLE, "pass", evidence)


def _of_most(subject: Preflight, said: Sequence[BoxPrediction]) -> Finding | None:
    """Whether so many boxes are reported of many images, and never more: fewer than some of the images hold objects."""
    counts = numpy.array([len(p.scores) for p in said])
    most = int(counts.max())
    objects = [int((~s.target.crowd).sum()) for s in subject.samples if isinstance(s.target, BoxTarget)]
    at_most = float((counts == most).mean())
    if at_most < 0.5 or most >= max(max(objects), 10):
        return None
    evidence = f"{at_most:.0%} of the images get {most} boxes and none gets more, though there are up to {max(objects)} objects in an image"
    return Finding("S23", _TITLE, "warn", evidence, "report up to 100 boxes an image: average precision counts as many", gain=0.0)


def _of_duplicates(said: Sequence[BoxPrediction]) -> Finding | None:
    reported = repeated = 0
    for p in said:
        overlaps = boxes.iou(p.boxes[:100], p.boxes[:100]) >= _SAME
        alike = (overlaps & (p.labels[:100, None] == p.labels[None, :100])).tril(-1)
        reported += len(p.boxes[:100])
        repeated += int(alike.any(1).sum())
    if repeated < _ENOUGH or repeated < _MANY * reported:
        return None
    evidence = f"{repeated} of {reported} reported boxes repeat a surer one of the same class (IoU of {_SAME:g} or more)"
    return Finding("S23", _TITLE, "warn", evidence, "suppress duplicates in decode(), per class, at an IoU of 0.5 to 0.7", gain=0.0)


def _of_score(subject: Preflight) -> Finding | None:
    """Whether another score, chosen on one half of the samples, is far better than the declared one on the other."""
    score, _ = best_operation(subject, subject.clean_predictions)
    own = subject.model.info.operating_score
    declared = measure(subject, subject.clean_predictions)
    changed = numpy.zeros(len(subject.samples))
    first = numpy.random.default_rng(0).permutation(len(subject.samples)) % 2 == 0
    for half in (first, ~first):
        chosen = subject.part(numpy.flatnonzero(~half).tolist())
        learned, _ = best_operation(chosen, chosen.clean_predictions)
        changed[half] = measure(subject, subject.clean_predictions, learned).right[half]
    gain = float((changed - declared.right).mean())
    p = sign_flips((changed - declared.right).tolist())
    reached = torch.cat([p.scores >= own for p in subject.clean_predictions if isinstance(p, BoxPrediction)])
    if p >= SIGNIFICANT or gain < _POOR:
        return None
    evidence = (
        f"{int(reached.sum())} of {len(reached)} boxes reach the operating score {own:g}: F1 {declared.right.mean():.3f} there, and "
        f"{changed.mean():.3f} at {score:.3g} (p = {p:.2g})"
    )
    remedy = f"set operating_score={score:.2g}, or look at what is done to the scores"
    verdict: Verdict = "warn" if declared.skill < _USELESS else "note"
    return Finding("S23", _TITLE, verdict, evidence, remedy, gain=gain, fix=fix_of_score(score))
