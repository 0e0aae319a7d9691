"""Image folders: one sub-folder a class, as torchvision's ImageFolder reads them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import unique_labels
from robustbench_cv.data.images import exif_fact, read_picture
from robustbench_cv.data.source import IMAGE_SUFFIXES, Listing, check_task, dataset_name, digest, existing_folder, list_files, sample_id
from robustbench_cv.errors import UserError
from robustbench_cv.tasks import Task
from robustbench_cv.types import ClassTarget, Contents, Labels, Sample


@dataset(tasks="classification")
def folder(path: str, *, task: Task = "classification", name: str | None = None, upright: bool = False) -> ImageFolder:
    """Classification from a folder with one sub-folder of images for each class.

    Classes are the sub-folders in the order of their names; images may lie deeper, and links to files and folders are followed. Other
    files are passed over; the checks name those that hold images all the same. upright: turn photos as their EXIF orientation says;
    without it pixels stay as they are stored, which torchvision's published scores refer to.
    """
    check_task("folder", task, ("classification",))
    root = existing_folder(path, "one sub-folder of images for each class")
    classes = _class_folders(root)
    if not classes:
        loose = len(list_files(root, IMAGE_SUFFIXES).files)
        raise UserError(f"{root} has no class folders ({loose} images lie loose in it); make one sub-folder for each class")
    listings = {c: list_files(root / c, IMAGE_SUFFIXES) for c in classes}
    _refuse_empty(root, listings)
    files = [(Path(c, file), label) for label, c in enumerate(classes) for file in listings[c].files]
    data = ImageFolder(
        name=name or dataset_name(root),
        labels=unique_labels(classes, str(root)),
        root=root,
        files=tuple(f for f, _ in files),
        classes=tuple(y for _, y in files),
        upright=upright,
        others=tuple(root / c / other for c, listing in listings.items() for other in listing.others),
    )
    twice = [id_ for id_, count in Counter(data.ids).items() if count > 1]
    if twice:
        raise UserError(f"{root} has two files called {twice[0]!r}, with accents written in two ways; rename one")
    return data


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFolder:
    """Images and their classes. files: relative to root, sorted. others: files in the class folders that are not among them."""

    name: str
    labels: Labels
    root: Path
    files: tuple[Path, ...] = field(repr=False)
    classes: tuple[int, ...] = field(repr=False)
    upright: bool = False
    others: tuple[Path, ...] = field(default=(), repr=False)
    task: Task = "classification"

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, file) for file in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        picture = read_picture(self.root / self.files[index], upright=self.upright)
        return Sample(self.ids[index], picture.pixels, ClassTarget(self.classes[index]), attributes=exif_fact(picture))

    def contents(self, index: int) -> Contents:
        """The image's class."""
        return Contents.of([self.labels.names[self.classes[index]]])

    def file_of(self, index: int, /) -> Path:
        """The image's path."""
        return self.root / self.files[index]

    def fingerprint(self, index: int) -> str:
        """Hash of the file's bytes, its class and the class names."""
        return digest(self.root / self.files[index], str(self.classes[index]), repr((self.labels.names, self.upright)))


def _class_folders(root: Path) -> list[str]:
    """Names of the sub-folders, links to folders among them; UserError for a link to what is not there, which would drop a class."""
    names = []
    for entry in sorted(root.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            names.append(entry.name)
        elif entry.is_symlink() and not entry.exists():
            raise UserError(f"{entry} is a link to {os.readlink(entry)}, which does not exist; mend or remove it: it may stand for a class")
    return names


def _refuse_empty(root: Path, listings: dict[str, Listing]) -> None:
    empty = [c for c, listing in listings.items() if not listing.files]
    if not empty:
        return
    known = " ".join(sorted(IMAGE_SUFFIXES))
    there = _some_names([other for c in empty for other in listings[c].others])
    hint = f"; there are {there}" if there else ""
    raise UserError(f"{root}: no images in class folder {', '.join(map(repr, empty))} ({known}){hint}; add some or remove the folder")


def _some_names(paths: Sequence[Path]) -> str:
    return ", ".join(path.as_posix() for path in paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
