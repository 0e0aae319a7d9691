"""From the network's maps to boxes and confidences, and from those to detections.

With cell (i, j), anchor (a_w, a_h) and stride s: centre = (sigmoid(t_x) + i, sigmoid(t_y) + j) s, size = (a_w e^{t_w}, a_h e^{t_h}).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.boxes import area, iou
from robustbench_cv.models.detectors.yolo.network import STRIDES
from robustbench_cv.types import BoxPrediction

LARGEST = 4.0
"""Bound of t_w and t_h, e^4 = 55 anchors: an exponential of an attacked network must not overflow. Project choice."""


def boxes(maps: Sequence[Tensor], anchors: Tensor) -> Tensor:
    """Boxes (N, K, 4) xyxy in px of the network's input; candidates ordered by stride, anchor, row, column."""
    return torch.cat([_boxes(m, a, s).flatten(1, 3) for m, a, s in zip(maps, anchors, STRIDES, strict=True)], dim=1)


def _boxes(grid: Tensor, anchors: Tensor, stride: int) -> Tensor:
    corner = _cells(grid) * stride
    centre = corner + grid[:, :, 0:2].movedim(2, -1).sigmoid() * stride
    half = anchors[:, None, None, :] * grid[:, :, 2:4].movedim(2, -1).clamp(max=LARGEST).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _cells(grid: Tensor) -> Tensor:
    """Column and row of each cell: (h, w, 2)."""
    height, width = grid.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height, device=grid.device), torch.arange(width, device=grid.device), indexing="ij")
    return torch.stack([x, y], dim=-1)


def cells(maps: Sequence[Tensor]) -> Tensor:
    """The cell of each candidate, in which its centre lies: (K, 4) xyxy in px of the network's input."""
    corners = [_cells(m).flatten(0, 1) * s for m, s in zip(maps, STRIDES, strict=True)]
    squares = [torch.cat([c, c + s], dim=-1).repeat(m.shape[1], 1) for c, m, s in zip(corners, maps, STRIDES, strict=True)]
    return torch.cat(squares)


def logits(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Objectness (N, K) and classes (N, K, C), before the sigmoid, in the order of `boxes`."""
    rows = torch.cat([m.movedim(2, -1).flatten(1, 3) for m in maps], dim=1)
    return rows[..., 4], rows[..., 5:]


def log_score(objectness: Tensor, classes: Tensor) -> Tensor:
    """log(sigmoid(objectness) sigmoid(class)): (N, K, C), finite wherever the logits are."""
    return F.logsigmoid(objectness)[..., None] + F.logsigmoid(classes)


def detections(boxes: Tensor, score: Tensor, threshold: float, nms_iou: float, top: int) -> BoxPrediction:
    """One image: boxes (K, 4), score (K, C) -> at most `top` detections. A candidate may be reported for several classes."""
    score = torch.where((area(boxes) > 0)[:, None], score, 0)
    found = [_suppress(boxes, score[:, c], c, threshold, nms_iou) for c in range(score.shape[1])]
    best = torch.cat([f.scores for f in found]).sort(descending=True, stable=True).indices[:top]
    every = [torch.cat(parts)[best] for parts in zip(*((f.boxes, f.scores, f.labels) for f in found), strict=True)]
    return BoxPrediction(*every)


def _suppress(boxes: Tensor, score: Tensor, label: int, threshold: float, nms_iou: float) -> BoxPrediction:
    above = (score > threshold).nonzero()[:, 0]
    order = above[score[above].sort(descending=True, stable=True).indices]
    kept = order[greedy(boxes[order], nms_iou)]
    return BoxPrediction(boxes[kept], score[kept], torch.full((len(kept),), label))


def greedy(boxes: Tensor, nms_iou: float) -> Tensor:
    """Which of boxes (D, 4), best first, survive: bool (D,). One falls to a better survivor with which it shares more than `nms_iou`."""
    over = (iou(boxes, boxes) > nms_iou).numpy()
    kept = torch.ones(len(boxes), dtype=torch.bool).numpy()
    for i in range(len(boxes)):
        if kept[i]:
            kept[i + 1 :] &= ~over[i, i + 1 :]
    return torch.from_numpy(kept)
