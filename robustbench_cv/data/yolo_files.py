"""Which files a YOLO split has: its images, and where Ultralytics looks for the labels of each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from robustbench_cv.data.source import IMAGE_SUFFIXES, list_files
from robustbench_cv.data.yolo_yaml import DataYaml
from robustbench_cv.errors import UserError
from robustbench_cv.files import decode_text, read_regular

_LARGEST_LIST = 2**28
"""Bytes of a text file that names images (project choice): some millions of paths."""


def label_path(image: Path) -> Path:
    """Where the labels of an image lie: the last folder "images" of its path becomes "labels", the suffix .txt.

    >>> label_path(Path("/data/images/val/a.jpg")).as_posix()
    '/data/labels/val/a.txt'
    """
    parts = list(image.parts)
    places = [k for k, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def images_of(described: DataYaml, split: str, entries: Sequence[Path]) -> Iterator[Path]:
    """The images of a split, in the order of their paths; folders are listed, text files name one image a line."""
    found: dict[Path, None] = {}
    for entry in entries:
        for path in _listed(entry):
            if path == described.root or not path.name:
                raise UserError(f"{described.path}: {split} names the folder {path} as an image; write the path of a file")
            if path in found:
                raise UserError(f"{described.path}: {split} names {path} twice")
            found[path] = None
    if not found:
        raise UserError(f"{described.path}: {split} holds no image; name a folder with images, or a text file with their paths")
    yield from sorted(found)


def _listed(entry: Path) -> Iterator[Path]:
    if entry.is_dir():
        yield from (entry / file for file in list_files(entry, IMAGE_SUFFIXES).files)
        return
    try:
        lines = decode_text(read_regular(entry, _LARGEST_LIST)).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {entry}: {error}; it is a folder of images, or a text file with one image's path a line") from error
    for line in filter(None, map(str.strip, lines)):
        # Relative to the text file's folder, as Ultralytics has it of ./. A link is not followed: the labels lie where its name says.
        # Two slashes at the start, which POSIX lets mean something of its own, are one.
        yield Path(re.sub("^//+", "/", os.path.abspath(entry.parent / line)))


def labels_without_image(images: Sequence[Path], entries: Sequence[Path]) -> Iterator[Path]:
    """Label files beside those of the images that no image belongs to; those of images that the split leaves out are others' business.

    Under the folders that are entries also in sub-folders that hold labels alone.
    """
    folders: dict[Path, set[Path]] = {}
    for image in images:
        folders.setdefault(label_path(image).parent, set()).add(image.parent)
    for entry in filter(Path.is_dir, entries):
        labels = label_path(entry / "any").parent
        for file in labels.rglob("*.txt") if labels != entry else ():
            folders.setdefault(file.parent, set()).add(entry / file.parent.relative_to(labels))
    for folder, holding in sorted(folders.items()):
        if not os.path.isdir(folder) or folder in holding:  # which is False, not an error, for a name that no folder can have
            continue
        listed = (path for parent in holding if os.path.isdir(parent) for path in parent.iterdir())
        stems = {path.stem for path in listed if path.suffix.lower() in IMAGE_SUFFIXES}
        yield from (path for path in sorted(folder.glob("*.txt")) if path.stem not in stems and path.name != "classes.txt")
