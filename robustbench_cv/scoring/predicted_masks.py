"""Answers of segmenters: a folder of PNG (or TIFF) files of class indices, one an image, and of its size.

255 means that no class was given to a pixel: it counts as wrong. With a classes.txt in the folder, the indices are those of its lines, else
those of the data's classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robustbench_cv.data.classes import read_classes
from robustbench_cv.data.images import read_mask
from robustbench_cv.data.source import digest, list_files
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.scoring.prediction_forms import MASK_SUFFIXES
from robustbench_cv.scoring.reading import Read, Reading
from robustbench_cv.scoring.sample_names import without_suffix
from robustbench_cv.types import IGNORE, MaskPrediction

NO_CLASS = -1


@dataclass(frozen=True, eq=False)
class MaskFiles:
    """The file of each sample, read when it is asked for. classes: how many indices mean something."""

    files: Mapping[str, Path]
    classes: int

    def of(self, sample: str, height: int, width: int, /) -> MaskPrediction | None:
        """BadSample for another size than the image's, and for an index that is no class."""
        if sample not in self.files:
            return None
        path = self.files[sample]
        labels = read_mask(path, "a predicted mask")
        if tuple(labels.shape) != (height, width):
            size = f"{labels.shape[1]} x {labels.shape[0]} pixels, and the image {width} x {height}"
            raise BadSample(f"{path} has {size}; scale the model's output to the image, its labels by the nearest pixel")
        labels = labels.where(labels != IGNORE, NO_CLASS)
        if int(labels.max()) >= self.classes:
            raise BadSample(
                f"{path} holds the index {int(labels.max())}, and there are {self.classes} classes (255: none); are these ids of the data?"
            )
        return MaskPrediction(labels)


def read_predicted_masks(path: Path, reading: Reading) -> Read:
    """UserError where two files are of one image, or a class list is none."""
    files = list_files(path, MASK_SUFFIXES).files
    named = {without_suffix(file.as_posix()): path / file for file in files}
    if len(named) < len(files):
        raise UserError(f"{path} has files that differ in their suffix alone; keep one mask an image")
    listed = path / "classes.txt"
    classes = read_classes(listed) if listed.is_file() else reading.labels
    if reading.classes is not None and classes != reading.classes:
        raise UserError(f"{listed} names other classes than --classes; leave one of the two out")
    found, notes = reading.samples(named, str(path))
    by_sample: dict[str, Path] = {}
    for name, id_ in found.items():
        if id_ in by_sample:
            raise UserError(f"{path}: {by_sample[id_]} and {named[str(name)]} are both of {id_!r}; keep one")
        by_sample[id_] = named[str(name)]
    return Read(
        answers=MaskFiles(by_sample, len(classes)),
        classes=classes,
        samples=frozenset(by_sample),
        sha256=digest(repr(classes.names), *(part for name, file in named.items() for part in (name, file))),
        kind=f"masks of {len(classes)} classes",
        notes=notes,
    )
