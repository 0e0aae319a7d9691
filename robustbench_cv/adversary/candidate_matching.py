"""Which of a detector's candidates lie on which objects."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_cv.boxes import iou
from robustbench_cv.types import BoxTarget, Candidates

OVERLAP = 0.5


def overlapping(raw: Candidates, i: int, objects: BoxTarget, overlap: float = OVERLAP) -> Tensor:
    """Which valid candidates of image i lie on which objects: bool (K, M); the nearest one where none overlaps by half (by `overlap`)."""
    boxes = raw.boxes[i].detach()
    where = objects.boxes.to(boxes)
    k, b = boxes.shape[:2]
    shared = iou(boxes.reshape(k * b, 4), where).reshape(k, b, len(where)).amax(dim=1)
    shared = shared.masked_fill(~raw.valid[i, :, None], -1.0)
    nearest = torch.zeros_like(shared, dtype=torch.bool).scatter(0, shared.argmax(dim=0, keepdim=True), value=True)
    return (shared >= overlap) | nearest
