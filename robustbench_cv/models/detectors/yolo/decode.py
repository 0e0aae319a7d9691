"""From the network's maps to boxes and confidences.

With cell (i, j), anchor (a_w, a_h) and stride s: centre = (sigmoid(t_x) + i, sigmoid(t_y) + j) s, size = (a_w e^{t_w}, a_h e^{t_h}).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.models.detectors.yolo.network import STRIDES

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
