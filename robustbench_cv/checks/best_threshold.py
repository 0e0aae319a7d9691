"""A detector's quality, whatever the score from which its boxes count: the best that any one score gives.

A change of contrast makes detectors surer, so that more of their boxes reach the declared score. Compared at that score, sound detectors
look better under a wrong normalisation: the effect is one of the threshold, which is why readings are compared at each one's best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.checks.check import Preflight
from robustbench_cv.checks.compare_readings import Quality, measure
from robustbench_cv.types import BoxPrediction, BoxTarget, Prediction, Target

_SCORES = 12
"""Scores that are tried: quantiles of the reported ones (project choice)."""

_MOST = 100
"""Boxes of an image that are looked at, the surest first: as many as COCO's average precision counts."""


def measure_ranking(subject: Preflight, predictions: Sequence[Prediction]) -> Quality:
    """As `measure`; of detections at the operating score that suits these predictions best."""
    if subject.task != "detection":
        return measure(subject, predictions)
    return best_operation(subject, predictions)[1]


def best_operation(subject: Preflight, predictions: Sequence[Prediction]) -> tuple[float, Quality]:
    """The score from which boxes should count for the highest mean F1, and the quality there; the declared one where none is better."""
    scores = candidate_scores(subject, predictions)
    pairs = [(p, s.target) for p, s in zip(predictions, subject.samples[: len(predictions)], strict=True)]
    found = torch.stack([_f1_at(p, t, scores) for p, t in pairs]).double()
    told = found.isfinite()
    skill = found.nan_to_num().sum(0) / told.sum(0).clamp(min=1)
    k = int(skill.argmax())
    right = found[:, k].nan_to_num(nan=1.0).numpy().astype(numpy.float64)
    return float(scores[k]), Quality(right, right, float(skill[k]))


def candidate_scores(subject: Preflight, predictions: Sequence[Prediction]) -> Tensor:
    """The declared score, and quantiles of the scores of the best twenty boxes of each image."""
    declared = torch.tensor([subject.model.info.operating_score])
    scores = torch.cat([torch.zeros(0), *(p.scores[:20].float().cpu() for p in predictions if isinstance(p, BoxPrediction))])
    if not len(scores):
        return declared
    return torch.cat([declared, torch.quantile(scores, torch.linspace(0.05, 0.98, _SCORES))])


def _f1_at(prediction: Prediction, target: Target, scores: Tensor) -> Tensor:
    """F1 of the boxes from each score on (S,), as in `quality`; NaN where the image holds no object and none is reported."""
    assert isinstance(prediction, BoxPrediction)
    assert isinstance(target, BoxTarget)
    truth, truth_labels = target.boxes[~target.crowd], target.labels[~target.crowd]
    reported = prediction.scores[None, :_MOST].cpu() >= scores[:, None]
    hits = (boxes.iou(prediction.boxes[:_MOST], truth) >= 0.5) & (prediction.labels[:_MOST, None] == truth_labels[None])
    matched = (reported[:, :, None] & hits[None]).any(1).sum(1) + (reported & hits.any(1)[None]).sum(1)
    return matched / (reported.sum(1) + len(truth))
