"""S39: does a sure detector see many objects that nobody annotated?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.types import BoxPrediction, BoxTarget

_TITLE = "objects without an annotation"
_RIGHT = 0.5
"""Overlap with an annotated object of its class from which a box is right."""
_NEAR = 0.2
"""Overlap, or share of the box that lies in annotated objects, from which it speaks of one of these, however badly (project choice)."""
_ENOUGH = 16
"""Right boxes from which on it is known how sure the model is of objects (project choice)."""
_SHARE = 0.25
"""Share of the sure boxes that are far from every annotation from which it is noted: sound detectors have a few in a hundred."""


@check(
    stage="before",
    needs="s22-boxes",
    cost="passes",
    action="note",
    gives="how many of the boxes that are as sure as the median right one lie far from every annotation, and in which images",
)
def s39_unannotated() -> Before:
    """Counts boxes of which the model is as sure as of the right ones, where nothing is annotated: objects left out, or hallucinations."""
    return _examine


class _Judged(NamedTuple):
    """Of each box of a sample, (K,): its score, whether it is right, and whether it is far from all that is annotated."""

    id: str
    scores: Tensor
    right: Tensor
    far: Tensor


def _examine(subject: Preflight) -> Finding:
    if subject.task != "detection":
        return Finding("S39", _TITLE, "not applicable", "the task has no boxes")
    judged = [
        _judge(s.id, p, s.target)
        for p, s in zip(subject.clean_predictions, subject.samples, strict=True)
        if isinstance(p, BoxPrediction) and isinstance(s.target, BoxTarget)
    ]
    right = torch.cat([j.scores[j.right] for j in judged]) if judged else torch.zeros(0)
    if len(right) < _ENOUGH:
        return Finding("S39", _TITLE, "not applicable", f"{len(right)} right boxes are too few to tell how sure the model is of objects")
    sure = float(right.median())
    far = [(j.id, int((j.far & (j.scores >= sure)).sum())) for j in judged]
    total, count = sum(int((j.scores >= sure).sum()) for j in judged), sum(n for _, n in far)
    evidence = f"{count} of {total} boxes with a score of {sure:.3g} (the median of the right ones) or more lie where nothing is annotated"
    if count < _SHARE * total:
        return Finding("S39", _TITLE, "pass", evidence)
    named = ", ".join(repr(far[k][0]) for k in _most(far))
    remedy = f"look at these: objects may lack their annotation, or the model sees what is not there: {named}"
    return Finding("S39", _TITLE, "note", evidence, remedy)


def _most(far: Sequence[tuple[str, int]]) -> list[int]:
    """Positions of the five samples with most of such boxes."""
    counts = numpy.array([n for _, n in far])
    return [int(k) for k in numpy.argsort(-counts, kind="stable")[:5] if counts[k]]


def _judge(id_: str, said: BoxPrediction, truth: BoxTarget) -> _Judged:
    """Crowds are annotated, too: what lies in one is not far."""
    overlap = boxes.iou(said.boxes, truth.boxes)
    same = said.labels[:, None] == truth.labels[None]
    right = ((overlap >= _RIGHT) & same & ~truth.crowd[None]).any(1)
    near = (overlap >= _NEAR).any(1) | (_covered(said.boxes, truth.boxes) >= _NEAR).any(1)
    return _Judged(id_, said.scores, right, ~near)


def _covered(some: Tensor, others: Tensor) -> Tensor:
    """Share of each of `some` (N, 4) that lies in each of the others (M, 4): (N, M)."""
    low = torch.maximum(some[:, None, :2], others[None, :, :2])
    high = torch.minimum(some[:, None, 2:], others[None, :, 2:])
    area = (some[:, 2:] - some[:, :2]).clamp(min=0).prod(1).clamp(min=1e-9)
    return (high - low).clamp(min=0).prod(-1) / area[:, None]
