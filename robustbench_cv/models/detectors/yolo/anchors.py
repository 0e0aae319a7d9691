"""Anchors from a data set's boxes: k-means whose distance is 1 - IoU of shapes laid on one corner. Redmon and Farhadi 2017, section 2."""

from __future__ import annotations

import torch
from torch import Tensor


def shape_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of shapes (A, 2) and (B, 2), widths and heights, were their corners joined: (A, B)."""
    shared = torch.minimum(a[:, None], b[None]).prod(-1)
    return shared / (a.prod(-1)[:, None] + b.prod(-1)[None] - shared)


def kmeans(shapes: Tensor, count: int, rounds: int = 100) -> Tensor:
    """`count` typical shapes (count, 2) of shapes (M, 2), by rising area. Starts from quantiles of the area, so no random numbers.

    >>> kmeans(torch.tensor([[10.0, 10], [12, 12], [50, 20], [54, 20]]), 2)
    tensor([[11., 11.],
            [52., 20.]])
    """
    if len(shapes) < count:
        raise ValueError(f"{count} anchors need at least {count} boxes, got {len(shapes)}")
    by_area = shapes[shapes.prod(-1).argsort(stable=True)]
    centres = by_area[((torch.arange(count) + 0.5) * len(shapes) / count).long()]
    for _ in range(rounds):
        owner = shape_iou(by_area, centres).argmax(1)
        moved = torch.stack([by_area[owner == k].mean(0) if (owner == k).any() else centres[k] for k in range(count)])
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres[centres.prod(-1).argsort(stable=True)]
