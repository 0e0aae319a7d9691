"""Detections as YOLO tools save them: a folder of text files, one an image, with a line `class x y width height confidence` a detection.

As Ultralytics writes them with save_txt=True, save_conf=True. An image without a file is one in which nothing was found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from robustbench_cv.data.source import digest, list_files
from robustbench_cv.errors import UserError
from robustbench_cv.files import decode_text, read_regular
from robustbench_cv.scoring.reading import Read, Reading
from robustbench_cv.scoring.sample_names import without_suffix
from robustbench_cv.types import BoxPrediction

_LARGEST_BYTES = 2**26

_FARTHEST = 100.0
"""Sides of the image beyond which a place is no share of it but, presumably, pixels (project choice)."""

Line = tuple[int, float, float, float, float, float]
"""Class, centre and sides in shares of the image, confidence."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Detections by sample id, in shares of the image's sides."""

    lines: Mapping[str, list[Line]]

    def of(self, sample: str, height: int, width: int, /) -> BoxPrediction | None:
        """Boxes as they are, whether or not they leave the image."""
        if sample not in self.lines:
            return None
        rows = torch.tensor(self.lines[sample], dtype=torch.float64).reshape(-1, 6)
        centre, sides = rows[:, 1:3], rows[:, 3:5]
        boxes = torch.cat([centre - sides / 2, centre + sides / 2], 1) * rows.new_tensor([width, height, width, height])
        order = torch.argsort(rows[:, 5], descending=True, stable=True)
        return BoxPrediction(boxes[order].float(), rows[order, 5].float(), rows[order, 0].long())


def read_yolo_predictions(path: Path, reading: Reading) -> Read:
    """UserError naming file and line for what is no detection of a known class."""
    files = list_files(path, frozenset({".txt"})).files
    named = {without_suffix(file.as_posix()): path / file for file in files if file.name != "classes.txt"}
    found, notes = reading.samples(named, str(path))
    lines: dict[str, list[Line]] = {}
    for name, id_ in found.items():
        if id_ in lines:
            raise UserError(f"{path} has two files for {id_!r}, one of them {named[str(name)]}; keep one")
        lines[id_] = _read(named[str(name)], len(reading.labels))
    return Read(
        answers=Shares(lines),
        classes=reading.labels,
        samples=frozenset(lines),
        sha256=digest(*(part for name, file in named.items() for part in (name, file))),
        kind=f"YOLO text files, {sum(map(len, lines.values()))} detections",
        notes=notes,
        box_format="centre x, centre y, width, height as shares of the image",
    )


def _read(path: Path, classes: int) -> list[Line]:
    try:
        text = decode_text(read_regular(path, _LARGEST_BYTES))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}; it holds a detection a line: class x y width height confidence") from error
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                lines.append(_line(line, classes))
            except ValueError as error:
                raise UserError(f"{path}, line {number}: {error}") from error
    return lines


def _line(line: str, classes: int) -> Line:
    words = line.split()
    if len(words) == 5:
        raise ValueError(
            "five numbers are a box without a confidence, and without it detections cannot be ranked; save it (save_conf=True)"
        )
    if len(words) != 6:
        raise ValueError(f"{len(words)} values are no detection; a line is: class x y width height confidence")
    try:
        label, x, y, w, h, score = map(float, words)
    except ValueError:
        raise ValueError(f"{line[:60]!r} holds what is no number") from None
    if not all(map(math.isfinite, (label, x, y, w, h, score))):
        raise ValueError(f"{line[:60]!r} holds NaN or infinity")
    if label != int(label) or not 0 <= label < classes:
        raise ValueError(f"class {words[0]} is not one of the {classes}, 0 to {classes - 1}")
    if not 0 <= score <= 1:
        raise ValueError(f"confidence {score:g} is outside [0, 1]")
    if w < 0 or h < 0:
        raise ValueError(f"a box of width {w:g} and height {h:g} is none")
    if max(abs(x), abs(y), w, h) > _FARTHEST:
        raise ValueError(f"{line[:60]!r} lies far outside the image; places and sizes are shares of the image's sides, not pixels")
    return int(label), x, y, w, h, score
