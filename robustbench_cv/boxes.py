"""Geometry of xyxy boxes in continuous pixel coordinates (width = x2 - x1)."""

from __future__ import annotations

import torch
from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Areas shared by every pair: (A, 4), (B, 4) -> (A, B)."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    side = (high - low).clamp(min=0)
    return side[..., 0] * side[..., 1]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every pair: (A, 4), (B, 4) -> (A, B); 0 where both are empty.

    >>> iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2]]))
    tensor([[0.3333]])
    """
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return shared / union.clamp(min=torch.finfo(shared.dtype).tiny)


def from_mask(mask: Tensor) -> Tensor:
    """Tight box of a bool mask (H, W): (4,), the far edges exclusive; zeros where the mask is empty."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    if len(rows) == 0:
        return torch.zeros(4)
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


def to_mask(box: Tensor, height: int, width: int) -> Tensor:
    """The pixels that a box touches: bool (H, W)."""
    x1, y1, x2, y2 = (float(v) for v in box)
    x, y = torch.arange(width), torch.arange(height)
    return ((y + 1 > y1) & (y < y2))[:, None] & ((x + 1 > x1) & (x < x2))[None, :]


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """COCO's (x, y, width, height) -> xyxy."""
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], dim=-1)


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes cut to the image."""
    limit = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)
