"""COCO annotations to boxes, labels and masks; each fault is a BadSample that names the annotation and its image."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy

from robustbench_cv.data import polygons, rle
from robustbench_cv.data.coco_json import Annotation
from robustbench_cv.data.objects import AnnotatedObject, Polygons, Runs, Shape
from robustbench_cv.errors import BadSample

OVERSHOOT_PX = 2.0
"""How far a box may reach over the image's edge and is cut there (project choice: published COCO files overshoot by rounding)."""


def read_object(
    annotation: Annotation, indices: Mapping[int, int], height: int, width: int, where: str, *, outlines: bool = True
) -> AnnotatedObject:
    """Check one annotation of an image of this size. where: the image, for errors. outlines=False: no segmentation is looked at."""
    try:
        return AnnotatedObject(
            _box(annotation.bbox, height, width),
            _label(annotation.category_id, indices),
            _crowd(annotation.iscrowd),
            _area(annotation.area),
            _outline(annotation, height, width) if outlines else None,
        )
    except (ValueError, msgspec.DecodeError) as error:
        raise BadSample(f"{where}: annotation {annotation.id!r}: {error}") from error


def _numbers(value: Any) -> list[float] | None:
    """A list of finite numbers, or None."""
    if not isinstance(value, list) or not all(type(v) in (int, float) for v in value):
        return None
    try:
        numbers = [float(v) for v in value]
    except OverflowError:  # an integer beyond the largest float
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _shorten(value: Any) -> str:
    """A value as far as one line of an error holds it."""
    return reprlib.repr(value)


def _box(bbox: Any, height: int, width: int) -> tuple[float, float, float, float]:
    numbers = _numbers(bbox)
    if numbers is None or len(numbers) != 4:
        raise ValueError(f"bbox {_shorten(bbox)} is not [x, y, width, height] in pixels")
    x, y, w, h = numbers
    if w <= 0 or h <= 0:
        raise ValueError(f"bbox {_shorten(bbox)} has no area; it is [x, y, width, height] with width and height above 0")
    if min(x, y) < -OVERSHOOT_PX or x + w > width + OVERSHOOT_PX or y + h > height + OVERSHOOT_PX:
        raise ValueError(
            f"bbox {_shorten(bbox)} leaves the image of {width} x {height} pixels; it is [x, y, width, height], not two corners"
        )
    box = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f"bbox {_shorten(bbox)} lies beyond the edge of the image of {width} x {height} pixels")
    return box


def _label(category: int, indices: Mapping[int, int]) -> int:
    if category not in indices:
        raise ValueError(f"category id {category} is not among the file's categories {sorted(indices)[:10]}")
    return indices[category]


def _crowd(iscrowd: Any) -> bool:
    if iscrowd not in (0, 1):
        raise ValueError(f"iscrowd is {_shorten(iscrowd)}; it is 0 or 1")
    return bool(iscrowd)


def _area(area: Any) -> float | None:
    if area is None:
        return None
    numbers = _numbers([area])
    if numbers is None or numbers[0] < 0:
        raise ValueError(f"area is {_shorten(area)}; it is a number of pixels, 0 or more")
    return numbers[0]


def _outline(annotation: Annotation, height: int, width: int) -> Shape:
    try:
        return _shape(annotation.shape, height, width)
    except (ValueError, msgspec.DecodeError) as error:
        raise ValueError(f"{error} (outlines=False reads boxes alone)") from error


def _shape(segmentation: Any, height: int, width: int) -> Shape:
    if isinstance(segmentation, dict):
        return _runs(segmentation, height, width)
    if segmentation is not None and not isinstance(segmentation, list):
        raise ValueError(f"segmentation is {_shorten(segmentation)}, neither polygons [[x, y, ...], ...] nor run lengths {{size, counts}}")
    if segmentation and _numbers(segmentation) is not None:
        raise ValueError("segmentation is one flat list of numbers; it is a list of polygons, so put brackets around it")
    drawn = tuple(_polygon(p, height, width) for p in segmentation or () if p != [])  # tools leave empty ones behind
    return Polygons(drawn) if drawn else None


def _polygon(polygon: Any, height: int, width: int) -> numpy.ndarray:
    numbers = _numbers(polygon)
    if numbers is None:
        raise ValueError(_no_numbers(polygon))
    if len(numbers) % 2 or len(numbers) < 6:
        raise ValueError(
            f"a polygon of {len(numbers)} numbers; it is x, y, x, y, ... of at least three corners, so 6 numbers or more, and even"
        )
    corners = numpy.array(numbers).reshape(-1, 2)
    # One image's size of room on every side: generous to sloppy outlines, and no corner can make the rasteriser ask for gigabytes.
    limit = numpy.array([width, height])
    if (corners < -limit).any() or (corners > 2 * limit).any():
        raise ValueError(
            f"a polygon reaches {corners[numpy.abs(corners).max(axis=1).argmax()].tolist()} in an image of {width} x {height} pixels"
        )
    if polygons.length_px(corners) > polygons.LONGEST_PX:
        raise ValueError(f"a polygon's outline is {polygons.length_px(corners):.0f} pixels long; {polygons.LONGEST_PX} are drawn at most")
    return corners


def _no_numbers(polygon: Any) -> str:
    """What a polygon is that is no list of numbers."""
    if not isinstance(polygon, list):
        return f"a polygon is {_shorten(polygon)}, not a list x, y, x, y, ..."
    if all(isinstance(corner, list) and len(corner) == 2 for corner in polygon):
        return "a polygon is a list of pairs [[x, y], ...]; COCO writes it flat, x, y, x, y, ..."
    if any(isinstance(corner, list) for corner in polygon):
        return "a polygon holds lists: it is nested one level too deep; COCO writes [[x, y, x, y, ...], ...]"
    odd = next((v for v in polygon if _numbers([v]) is None), None)
    return f"a polygon holds {_shorten(odd)}, which is no finite number"


def _runs(segmentation: Mapping[str, Any], height: int, width: int) -> Runs:
    missing = [key for key in ("size", "counts") if key not in segmentation]
    if missing:
        raise ValueError(f"segmentation has no {' and no '.join(missing)}; run lengths are {{size: [height, width], counts: ...}}")
    size, counts = segmentation["size"], segmentation["counts"]
    if size != [height, width]:
        raise ValueError(f"its mask has size {_shorten(size)}, the image is {[height, width]} (height, width)")
    runs = rle.runs_of_text(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int for run in runs):
        raise ValueError("the counts of its mask are neither a list of whole numbers nor a compressed text")
    rle.check(runs, height, width)
    return Runs(tuple(runs))
