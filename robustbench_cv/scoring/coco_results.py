"""Detections in COCO's results form: a JSON list of {"image_id", "category_id", "bbox": [x, y, width, height], "score"}.

An image without an entry is one in which nothing was found: the form has no other way to say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy
import torch

from robustbench_cv.arguments import shorten
from robustbench_cv.data.class_names import unknown_name
from robustbench_cv.data.json_files import read_json
from robustbench_cv.data.source import NumbersImages
from robustbench_cv.errors import UserError
from robustbench_cv.file_hashes import file_sha256
from robustbench_cv.scoring.reading import Read, Reading
from robustbench_cv.types import BoxPrediction

LARGEST_PX = 1e7
"""Coordinates beyond this are no pixels of any image (project choice)."""


class _Entry(msgspec.Struct):
    """One detection. category: the class's name, which this package's own runs write beside its number."""

    image_id: int | str
    bbox: tuple[float, float, float, float]
    score: float
    category_id: int | None = None
    category: str | None = None


class _Rows(NamedTuple):
    """Detections of one image: xyxy in px, float32; scores falling."""

    boxes: numpy.ndarray
    scores: numpy.ndarray
    labels: numpy.ndarray


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections by sample id."""

    rows: Mapping[str, _Rows]

    def of(self, sample: str, height: int, width: int, /) -> BoxPrediction | None:
        """None where there is no entry."""
        rows = self.rows.get(sample)
        return None if rows is None else BoxPrediction(*(torch.from_numpy(part.copy()) for part in rows))


def read_coco_results(path: Path, reading: Reading) -> Read:
    """Boxes as they are, whether or not they leave the image, as COCO has it.

    The class is `category`, a name, where all entries have one; else `category_id`, by the categories of the data's own file; where those
    are none, or the user named the model's classes, the user must have said whether the first class is 0 or 1. UserError naming the entry
    for anything else: scores outside [0, 1], negative sides, numbers that are none.
    """
    entries = _parse(path)
    ids, notes = reading.samples((entry.image_id for entry in entries), str(path))
    labels = _labels(path, entries, reading)
    boxes = numpy.array([entry.bbox for entry in entries], dtype=numpy.float64).reshape(-1, 4)
    scores = numpy.array([entry.score for entry in entries], dtype=numpy.float64)
    _check(path, boxes, scores)
    # Added in double precision: so the corners that a run wrote as width and height come back to the last bit.
    corners = numpy.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).astype(numpy.float32)
    places: dict[str, list[int]] = {}
    for k, entry in enumerate(entries):
        if entry.image_id in ids:
            places.setdefault(ids[entry.image_id], []).append(k)
    rows = {}
    for id_, those in places.items():
        order = numpy.array(those)[numpy.argsort(-scores[those], kind="stable")]
        rows[id_] = _Rows(corners[order], scores[order].astype(numpy.float32), labels[order])
    return Read(
        answers=Detections(rows),
        classes=reading.labels,
        samples=frozenset(rows),
        sha256=file_sha256(path).hex(),
        kind=f"COCO results, {len(entries)} detections",
        notes=notes,
        box_format="x, y, width, height",
    )


def _parse(path: Path) -> list[_Entry]:
    what = 'COCO results: a list of {"image_id", "category_id", "bbox": [x, y, width, height], "score"}'
    text = read_json(path, what)
    try:
        return msgspec.json.decode(text.content, type=list[_Entry])
    except msgspec.ValidationError as error:
        odd = f" ({text.first_odd_number})" if text.first_odd_number else ""
        at = re.search(r" - at `\$\[(\d+)\](?:\.(\w+))?", str(error))
        if at is None:
            hint = "an object, which looks like a file of annotations" if text.content.lstrip()[:1] == b"{" else "no list"
            raise UserError(f"{path} is not {what}: it is {hint}") from error
        raise _fault(path, int(at[1]), f"{_misfit(text.content, int(at[1]), at[2], str(error))}{odd}") from error
    except msgspec.DecodeError as error:
        raise UserError(f"{path} cannot be read: {error}") from error


_FIELDS = {
    "image_id": "the number or the name of an image",
    "bbox": "four numbers: x, y, width, height in pixels",
    "score": "a number from 0 to 1",
    "category_id": "the whole number of a class",
    "category": "the name of a class",
}


def _misfit(content: bytes, k: int, field: str | None, error: str) -> str:
    """What is wrong with an entry that msgspec refuses: a field that it lacks, or that is something else."""
    entry = msgspec.json.decode(msgspec.json.decode(content, type=list[msgspec.Raw])[k])
    lacks = re.search("missing required field `(.+?)`", error)
    if lacks:
        return f"it has no {lacks[1]!r}, which is {_FIELDS[lacks[1]]}"
    if field not in _FIELDS:
        return f"{_shown(entry)} is no detection, which is an object with {', '.join(map(repr, _FIELDS))}"
    return f"{field} is {_shown(entry[field])}, and must be {_FIELDS[field]}"


def _shown(value: object) -> str:
    return shorten(msgspec.json.encode(value).decode())


def _fault(path: Path, k: int, text: str) -> UserError:
    return UserError(f"{path}, entry {k}: {text} (entries count from 0)")


def _check(path: Path, boxes: numpy.ndarray, scores: numpy.ndarray) -> None:
    """UserError naming the first entry (from 0) that is no detection."""
    for k in numpy.flatnonzero(~((scores >= 0) & (scores <= 1)))[:1]:
        raise _fault(path, k, f"score {scores[k]:g} is outside [0, 1]; confidences are shares, so divide percents by 100")
    for k in numpy.flatnonzero((numpy.abs(boxes) > LARGEST_PX).any(axis=1))[:1]:
        raise _fault(path, k, f"bbox {boxes[k].tolist()} holds a coordinate beyond {LARGEST_PX:g} px; give pixels")
    for k in numpy.flatnonzero((boxes[:, 2:] < 0).any(axis=1))[:1]:
        raise _fault(path, k, f"bbox {boxes[k].tolist()} has a negative width or height; write x, y, width, height in pixels, not corners")


def _labels(path: Path, entries: Sequence[_Entry], reading: Reading) -> numpy.ndarray:
    """Class index of each entry."""
    classes = reading.labels.names
    named = [k for k, entry in enumerate(entries) if entry.category is not None]
    if named and len(named) < len(entries):
        k = next(k for k, entry in enumerate(entries) if entry.category is None)
        raise UserError(
            f"{path}, entry {k} names no category, and entry {named[0]} does; name it in all of them or in none (entries count from 0)"
        )
    if named:
        indices = {name: i for i, name in enumerate(classes)}
        unknown = [(k, entry.category) for k, entry in enumerate(entries) if entry.category not in indices]
        if unknown:
            k, name = unknown[0]
            raise _fault(path, k, f"{unknown_name(str(name), classes)}; name the model's with --classes")
        return numpy.array([indices[str(entry.category)] for entry in entries], dtype=numpy.int64)
    return _by_number(path, entries, _numbers(path, reading))


def _numbers(path: Path, reading: Reading) -> Mapping[int, int]:
    """Class index by category id."""
    if reading.first_category is not None:
        return {i + reading.first_category: i for i in range(len(reading.labels))}
    if isinstance(reading.dataset, NumbersImages) and reading.classes is None:
        return reading.dataset.category_indices
    raise UserError(
        f"{path} gives classes by number, and nothing says which number the first one, {reading.labels.names[0]!r}, has: say "
        '--first-category 0 or --first-category 1 (Ultralytics writes from 1 for data other than COCO), or write a "category" with the '
        "name into each entry"
    )


def _by_number(path: Path, entries: Sequence[_Entry], indices: Mapping[int, int]) -> numpy.ndarray:
    for k, entry in enumerate(entries):
        if entry.category_id not in indices:
            known = sorted(indices)
            some = f"{', '.join(map(str, known[:10]))}{', ...' if len(known) > 10 else ''}"
            raise _fault(path, k, f"category_id {entry.category_id} is none of the data's ({some})")
    return numpy.array([indices[entry.category_id] for entry in entries if entry.category_id is not None], dtype=numpy.int64)
