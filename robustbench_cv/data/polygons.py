"""Polygons to masks by the rule of COCO's own tools, so that areas and regions equal theirs pixel for pixel.

The rule (pycocotools, maskApi.c, restated here): corners are rounded to a grid of 1/5 pixel and joined by straight digital lines. Wherever
such a line steps across the centre of a pixel column, the pixels of that column below the crossing change between out and in. Polygons of
one object are united.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy
import torch
from torch import Tensor

_GRID = 5

LONGEST_PX = 1_000_000
"""Length of an outline that is still drawn, in pixels (project choice). Its cost grows with the length, not with the corners."""


def length_px(polygon: numpy.ndarray) -> float:
    """Length of a closed outline, float (P, 2), each edge counted by its longer side."""
    return float(numpy.abs(polygon - numpy.roll(polygon, -1, axis=0)).max(axis=1).sum())


def rasterize(polygons: Iterable[numpy.ndarray], height: int, width: int) -> Tensor:
    """The union of closed polygons, each float (P, 2) of x, y in pixels: bool (H, W).

    >>> square = numpy.array([[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]])
    >>> rasterize([square], 3, 4).int().tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    mask = numpy.zeros((height, width), dtype=bool)
    for polygon in polygons:
        mask |= _fill(polygon, height, width)
    return torch.from_numpy(mask)


def _fill(polygon: numpy.ndarray, height: int, width: int) -> numpy.ndarray:
    u, v = _outline(polygon)
    column, row = _crossings(u, v, height, width)
    # In column-major order a crossing flips everything after it. Each column has an even number of them, so none leaks into the next; one
    # below the last row is the next column's first pixel, which is where its partner's flip has to end.
    flips = numpy.bincount(column * height + row, minlength=height * width)[: height * width]
    mask: numpy.ndarray = (numpy.cumsum(flips) % 2 == 1).reshape(width, height).T
    return mask


def _outline(polygon: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Grid points along the closed outline, in order, without gaps: u (along x) and v (along y), int64."""
    corner = (_GRID * polygon + 0.5).astype(numpy.int64)  # towards zero, as C casts
    start, end = corner, numpy.roll(corner, -1, axis=0)
    steps = numpy.abs(end - start)
    count = steps.max(axis=1)
    wide = steps[:, 0] >= steps[:, 1]
    along = numpy.where(wide, 0, 1)
    edge = numpy.arange(len(corner))
    # Every edge is sampled from its lower end, so that two polygons that share it agree on its points.
    backwards = start[edge, along] > end[edge, along]
    low, high = numpy.where(backwards[:, None], end, start), numpy.where(backwards[:, None], start, end)
    slope = (high - low)[edge, 1 - along] / numpy.maximum(count, 1)
    each = numpy.repeat(edge, count + 1)
    step = numpy.arange(len(each)) - numpy.repeat(numpy.cumsum(count + 1) - (count + 1), count + 1)
    step = numpy.where(backwards[each], count[each] - step, step)
    major = low[each, along[each]] + step
    minor = (low[each, 1 - along[each]] + slope[each] * step + 0.5).astype(numpy.int64)
    return numpy.where(wide[each], major, minor), numpy.where(wide[each], minor, major)


def _crossings(u: numpy.ndarray, v: numpy.ndarray, height: int, width: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Where the outline steps across the centre of a pixel column: that column, and the first row below the outline there."""
    moved = u[1:] != u[:-1]
    column = (numpy.minimum(u[1:], u[:-1])[moved] + 0.5) / _GRID - 0.5
    row = numpy.ceil(numpy.clip((numpy.minimum(v[1:], v[:-1])[moved] + 0.5) / _GRID - 0.5, 0, height))
    centre = (numpy.floor(column) == column) & (column >= 0) & (column <= width - 1)
    return column[centre].astype(numpy.int64), row[centre].astype(numpy.int64)
