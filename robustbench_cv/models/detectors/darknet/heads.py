"""The three kinds of detecting layers: what their maps say about boxes and confidences, as Darknet reads them.

Each is a module without parameters that holds what the cfg says; `believe` turns its map into candidates, in px of the network's input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.models.detectors.yolo.decode import LARGEST, log_score

FAINT = 1e-3
"""Where the logarithm of a linear score begins to be extended: below every threshold that decode uses. Project choice."""


class Beliefs(NamedTuple):
    """boxes (N, K, 4) and cells (K, 4), in which the centres lie, both xyxy px of the network's input; log_score (N, K, C)."""

    boxes: Tensor
    log_score: Tensor
    cells: Tensor


class Head(nn.Module):
    """What a detecting layer gives back in `forward` is what it got; `believe` reads it. channels: of the map it needs."""

    anchors: Tensor

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.classes, self.channels = classes, channels

    def forward(self, x: Tensor) -> Tensor:
        """The same map."""
        return x

    def believe(self, grid: Tensor, height: int, width: int) -> Beliefs:
        """Candidates ordered by anchor, row, column. height, width: of the network's input, px."""
        raise NotImplementedError


class AnchorHead(Head):
    """A grid of cells with A anchors each; channels x, y, w, h, objectness, classes, anchor by anchor.

    anchors (A, 2): widths and heights in px of the network's input where `in_cells` is 0, else in cells. stretch: scale_x_y, by which
    later networks let a centre leave its cell. softmax: classes exclude each other (version 2), else each has its own sigmoid (version 3).
    """

    def __init__(self, classes: int, anchors: Tensor, *, in_cells: bool, softmax: bool, stretch: float = 1.0) -> None:
        super().__init__(classes, len(anchors) * (5 + classes))
        self.in_cells, self.softmax, self.stretch = in_cells, softmax, stretch
        self.register_buffer("anchors", anchors.float().clone())

    def rows(self, grid: Tensor) -> Tensor:
        """(N, A (5 + C), h, w) -> (N, A, 5 + C, h, w)."""
        return torch.unflatten(grid, 1, (len(self.anchors), 5 + self.classes))

    def believe(self, grid: Tensor, height: int, width: int) -> Beliefs:
        """As described at `Head`."""
        rows = self.rows(grid).movedim(2, -1)
        h, w = rows.shape[2:4]
        cell = grid.new_tensor([width / w, height / h])
        corner = _corners(h, w, grid)
        centre = (corner + rows[..., 0:2].sigmoid() * self.stretch - (self.stretch - 1) / 2) * cell
        shapes = self.anchors * cell if self.in_cells else self.anchors
        half = shapes[:, None, None, :] * rows[..., 2:4].clamp(max=LARGEST).exp() / 2
        boxes = torch.cat([centre - half, centre + half], dim=-1).flatten(1, 3)
        squares = torch.cat([corner * cell, (corner + 1) * cell], dim=-1).flatten(0, 1).repeat(len(self.anchors), 1)
        return Beliefs(boxes, self._scores(rows).flatten(1, 3), squares)

    def _scores(self, rows: Tensor) -> Tensor:
        if self.softmax:
            return F.logsigmoid(rows[..., 4:5]) + rows[..., 5:].log_softmax(dim=-1)
        return log_score(rows[..., 4], rows[..., 5:])


class GridHead(Head):
    """Version 1: one vector of S S C class scores, S S B confidences, S S B boxes (x, y in the cell; w, h of the image), all linear.

    root: w and h are square roots. Confidence times class is a linear number that may leave [0, 1]: its logarithm is exact from FAINT up,
    extended below, so that a gradient goes on where the product is negative; nothing below FAINT is ever reported.
    """

    def __init__(self, classes: int, side: int, boxes: int, *, root: bool) -> None:
        super().__init__(classes, side * side * (classes + 5 * boxes))
        self.side, self.boxes, self.root = side, boxes, root

    def parts(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, channels) -> classes (N, S, S, C), confidence (N, S, S, B), places (N, S, S, B, 4)."""
        cells = self.side * self.side
        sizes = [cells * self.classes, cells * self.boxes, cells * self.boxes * 4]
        classes, confidence, places = torch.split(vector.flatten(1), sizes, dim=1)
        grid = (self.side, self.side)
        shapes = ((classes, (*grid, -1)), (confidence, (*grid, -1)), (places, (*grid, self.boxes, 4)))
        first, second, third = (torch.unflatten(part, 1, shape) for part, shape in shapes)
        return first, second, third

    def corners(self, places: Tensor, height: int, width: int) -> Tensor:
        """Boxes (N, S, S, B, 4) xyxy in px of what `parts` calls places."""
        cell = places.new_tensor([width / self.side, height / self.side])
        centre = (_corners(self.side, self.side, places)[:, :, None] + places[..., 0:2]) * cell
        size = places[..., 2:4].square() if self.root else places[..., 2:4].clamp(min=0)
        half = size * places.new_tensor([width, height]) / 2
        return torch.cat([centre - half, centre + half], dim=-1)

    def believe(self, grid: Tensor, height: int, width: int) -> Beliefs:
        """Candidates ordered by row, column, box."""
        classes, confidence, places = self.parts(grid)
        product = confidence[..., None] * classes[:, :, :, None]
        corner = _corners(self.side, self.side, grid)
        cell = grid.new_tensor([width / self.side, height / self.side])
        squares = torch.cat([corner * cell, (corner + 1) * cell], dim=-1).flatten(0, 1)
        boxes = self.corners(places, height, width)
        return Beliefs(boxes.flatten(1, 3), extended_log(product).flatten(1, 3), squares.repeat_interleave(self.boxes, dim=0))


def extended_log(p: Tensor) -> Tensor:
    """log p where p >= FAINT; below, log FAINT - log(2 - p / FAINT): it goes on falling, with the same slope where the two meet.

    >>> extended_log(torch.tensor([1.0, 1e-3, -1.0])).round(decimals=2)
    tensor([  0.0000,  -6.9100, -13.8200])
    """
    low = p.clamp(max=FAINT) / FAINT
    return p.clamp(min=FAINT).log() - (2 - low).log()


def _corners(height: int, width: int, like: Tensor) -> Tensor:
    """Column and row of each cell: (h, w, 2)."""
    y, x = torch.meshgrid(torch.arange(height, device=like.device), torch.arange(width, device=like.device), indexing="ij")
    return torch.stack([x, y], dim=-1)
