"""S00: does the model know anything at all?"""

from __future__ import annotations

import numpy
import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.compare_readings import Quality, measure
from robustbench_cv.types import IGNORE, BoxPrediction, BoxTarget, ClassTarget, MaskTarget, Target

_TITLE = "better than chance"
_FEW = 8
"""Labelled samples, or annotated objects, below which nothing is said (project choice)."""
_ENOUGH = 32
"""Samples from which on agreement that chance explains is said to be so; of fewer only that none is right (project choice)."""
_REMEDY = (
    "check weights, class names, preprocessing and the score from which boxes count: until the model knows something, its robustness, and "
    "a hallucination rate of 0, mean nothing"
)


@check(
    stage="before",
    needs="s32-class-count",
    cost="passes",
    action="warn",
    gives="the share that is right, or the F1 and the number of objects found",
)
def s00_skill() -> Before:
    """Agreement with the labels beyond chance; of a detector, whether it finds any annotated object. Where not, every number is marked."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    quality = measure(subject, subject.clean_predictions)
    return _of_detector(subject, quality) if subject.task == "detection" else _of_labels(subject, quality)


def _of_labels(subject: Preflight, quality: Quality) -> Finding:
    n, right = len(quality.right), float(quality.right.mean())
    evidence = f"{right:.1%} of {'the pixels of ' if subject.task == 'segmentation' else ''}{n} samples are right"
    present = numpy.unique(torch.cat([_labels(s.target) for s in subject.samples]).numpy())
    if len(present) < 2 or len(subject.model.info.classes) < 2:
        return Finding("S00", _TITLE, "not applicable", f"{evidence}: all are of one class, so that chance is right too")
    if quality.skill > 0:
        return Finding("S00", _TITLE, "pass", evidence)
    if n >= _ENOUGH or (n >= _FEW and right == 0):
        return Finding("S00", _TITLE, "warn", f"{evidence}: no better than chance", _REMEDY, gain=0.0, code="no-skill")
    return Finding("S00", _TITLE, "not applicable", f"{evidence}: too few to tell from chance")


def _labels(target: Target) -> Tensor:
    """Those that are scored, int64 (any,)."""
    if isinstance(target, ClassTarget):
        return torch.tensor([target.label])
    assert isinstance(target, MaskTarget)
    return target.labels[target.labels != IGNORE]


def _of_detector(subject: Preflight, quality: Quality) -> Finding:
    score = subject.model.info.operating_score
    holding = [isinstance(s.target, BoxTarget) and bool((~s.target.crowd).any()) for s in subject.samples]
    objects = sum(int((~s.target.crowd).sum()) for s in subject.samples if isinstance(s.target, BoxTarget))
    boxes = sum(int((p.scores >= score).sum()) for p in subject.clean_predictions if isinstance(p, BoxPrediction))
    if objects < _FEW:
        return Finding("S00", _TITLE, "not applicable", f"{objects} annotated objects are too few to tell")
    if not bool(quality.right[holding].any()):
        evidence = f"none of {objects} annotated objects in {sum(holding)} images is found; {boxes} boxes reach the score {score:g}"
        return Finding("S00", _TITLE, "warn", evidence, _REMEDY, gain=0.0, code="no-skill")
    evidence = f"F1 {quality.skill:.3f} at the score {score:g} over the images with objects or boxes; {objects} objects"
    return Finding("S00", _TITLE, "pass", evidence)
