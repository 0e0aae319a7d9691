"""The lines of a YOLO label file: a class and a box, or a class and a polygon, in shares of the image's sides."""

from __future__ import annotations

import math
from pathlib import Path

import numpy

from robustbench_cv.data import polygons
from robustbench_cv.data.objects import AnnotatedObject, Polygons
from robustbench_cv.errors import BadSample
from robustbench_cv.files import decode_text, read_regular
from robustbench_cv.types import Labels

OVERSHOOT = 0.01
"""How far a coordinate may reach beyond [0, 1], as Ultralytics 8.4 has it, since exports round. Here it is cut at the edge."""

_LARGEST_BYTES = 2**26


def read_labels(path: Path, labels: Labels, height: int, width: int, *, keypoints: int = 0) -> list[AnnotatedObject]:
    """The objects of one image, in the order of the file; none where there is no file. keypoints: numbers that may follow a box.

    BadSample, naming the line, for what is no object: a class beyond the list, a coordinate outside the image, a box without area, a line
    of 4, 6 or another number of values that is neither a box (5) nor a polygon (7 and more, odd), an object that comes twice, however its
    numbers are written.
    """
    try:
        text = decode_text(read_regular(path, _LARGEST_BYTES))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BadSample(
            f"cannot read {path}: {_reason(error)}; it holds an object a line: class x y width height, in shares of the image"
        ) from error
    objects: list[AnnotatedObject] = []
    seen: dict[tuple[float, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            key = _numbers(line)
            if key in seen:
                raise ValueError(f"it is line {seen[key]} again; delete one")
            numbers = key[:5] if keypoints and len(key) == 5 + keypoints else key  # as Ultralytics reads pose labels for boxes
            objects.append(_object(line, numbers, labels, height, width))
        except ValueError as error:
            raise BadSample(f"{path}, line {number}: {error}") from error
        seen[key] = number
    return objects


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror or error) if isinstance(error, OSError) else f"byte {error.start} is not UTF-8"


def _numbers(line: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in line.split())
    except ValueError:
        raise ValueError(f"{line[:60]!r} holds what is no number; a line is: class x y width height") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{line[:60]!r} holds NaN or infinity")
    return numbers


def _object(line: str, numbers: tuple[float, ...], labels: Labels, height: int, width: int) -> AnnotatedObject:
    label, *values = numbers
    if label != int(label) or not 0 <= label < len(labels):
        raise ValueError(f"class {line.split()[0]} is not one of the {len(labels)} of the yaml, 0 to {len(labels) - 1}")
    if len(values) == 4:
        box, shape = _box(values), None
    elif len(values) >= 6 and len(values) % 2 == 0:
        corners = numpy.clip(numpy.array([_within(v) for v in values]).reshape(-1, 2), 0, 1)
        box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
        shape = _polygon(corners * [width, height])
    else:
        raise ValueError(f"{len(numbers)} values are neither a box (class x y width height) nor a polygon (class x y x y x y ...)")
    x1, y1, x2, y2 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"{line[:60]!r} has no area inside the image")
    return AnnotatedObject((x1, y1, x2, y2), int(label), False, None if shape else (x2 - x1) * (y2 - y1), shape)


def _polygon(corners: numpy.ndarray) -> Polygons:
    length = polygons.length_px(corners)
    if length > polygons.LONGEST_PX:
        raise ValueError(f"the polygon's outline is {length:.0f} pixels long; {polygons.LONGEST_PX} are drawn at most")
    return Polygons((corners,))


def _box(values: list[float]) -> tuple[float, float, float, float]:
    """Centre and sides to corners, in shares, cut to the image."""
    x, y, w, h = (_within(value) for value in values)
    corners = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    if w <= 0 or h <= 0:
        raise ValueError(f"a box of width {w:g} and height {h:g} has no area")
    if min(corners) < -OVERSHOOT or max(corners) > 1 + OVERSHOOT:
        raise ValueError(
            f"the box from {corners[0]:g}, {corners[1]:g} to {corners[2]:g}, {corners[3]:g} leaves the image, which goes from 0 to 1"
        )
    return tuple(min(max(v, 0.0), 1.0) for v in corners)  # type: ignore[return-value]


def _within(value: float) -> float:
    if not -OVERSHOOT <= value <= 1 + OVERSHOOT:
        raise ValueError(f"{value:g} lies outside [0, 1]; places and sizes are shares of the image's sides, not pixels")
    return value
