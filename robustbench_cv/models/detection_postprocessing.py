"""From candidates to detections: a threshold, suppression within each class, the best few. What decode does in most detectors."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_cv.boxes import area
from robustbench_cv.models.nms import batched_nms
from robustbench_cv.types import BoxPrediction, Candidates


def detections(raw: Candidates, threshold: float, nms_iou: float, top: int, *, each: int | None = None) -> list[BoxPrediction]:
    """At most `top` detections of each image, best first, on the CPU.

    threshold: the score above which a candidate may be reported, for several classes if they all reach it. nms_iou: overlap above which of
    two boxes of a class the weaker goes. each: the most candidates of a class that are looked at, the best ones; None for all.
    Candidates that are not valid and boxes without area are never reported.
    """
    scores = torch.where(raw.valid[..., None], raw.log_score.detach().exp(), 0).cpu()
    if each is not None and scores.shape[1] > each:
        best = scores.topk(each, dim=1)
        scores = torch.zeros_like(scores).scatter(1, best.indices, best.values)
    return [_suppress(b, s, threshold, nms_iou, top) for b, s in zip(raw.boxes.detach().cpu(), scores, strict=True)]


def _suppress(boxes: Tensor, scores: Tensor, threshold: float, nms_iou: float, top: int) -> BoxPrediction:
    """One image: boxes (K, B, 4), one a candidate or one a class, scores (K, C)."""
    rows, labels = (scores > threshold).nonzero(as_tuple=True)
    candidate_boxes = boxes.expand(-1, scores.shape[1], -1)[rows, labels]
    real = area(candidate_boxes) > 0
    candidate_boxes, rows, labels = candidate_boxes[real], rows[real], labels[real]
    kept = batched_nms(candidate_boxes, scores[rows, labels], labels, nms_iou)[:top]
    return BoxPrediction(candidate_boxes[kept], scores[rows[kept], labels[kept]], labels[kept])
