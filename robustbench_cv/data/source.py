"""What every data reader needs: names and ids that are the same on every machine, paths that stay inside, hashes of files.

A new reader is one file in this folder: a factory marked `@dataset()` whose first argument is the path, and a frozen dataclass that is a
Dataset. What is wrong with the whole is a UserError when it is built, what is wrong with one image a BadSample when that one is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple, Protocol, Self, runtime_checkable

from robustbench_cv.errors import UserError
from robustbench_cv.file_hashes import file_sha256
from robustbench_cv.files import resolved
from robustbench_cv.tasks import Task
from robustbench_cv.types import AnyModel, Dataset

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".jp2", ".j2k"}
IMAGE_SUFFIXES = frozenset(_JPEG | {".png", ".apng", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".avif"})
"""Names of images; what is in them decides how they are decoded."""

_MOST_FOLDERS = 200_000
"""Folders that one listing enters: links among folders can make their number grow without end (project choice)."""

_SPLIT = re.compile(r"(train|training|val|valid|validation|test|testing|dev|eval)[-_]?\d*", re.IGNORECASE)


@runtime_checkable
class FromFiles(Protocol):
    """A data set whose samples lie in image files. others: files beside them that are no sample; None where a list says which are."""

    @property
    def others(self) -> Sequence[Path] | None: ...
    def file_of(self, index: int, /) -> Path | None:
        """The file that a fault of this sample is looked for in; None where its name leads nowhere."""


@runtime_checkable
class NumbersImages(Protocol):
    """A data set whose own file numbers images and categories, as COCO's does: files of predictions speak of them by these numbers."""

    @property
    def category_indices(self) -> Mapping[int, int]:
        """Class index by category id."""
        ...

    def image_id(self, index: int, /) -> int | str: ...


@runtime_checkable
class NeedsDataset(Protocol):
    """An edit or an attack that takes pictures from beside the samples of a data set. The runner hands the data set over beforehand."""

    def with_dataset(self, dataset: Dataset, /) -> Self:
        """The same, taking from this data set. UserError where that has none to give."""
        ...


@runtime_checkable
class HasNotes(Protocol):
    """A data set of which readers of a report must know something: what is not there, what was passed over."""

    @property
    def notes(self) -> Sequence[str]: ...


class ModelView(NamedTuple):
    """A model as a data set with coarser classes sees it. factory: of the registered model that makes it of a spec; of: what it does."""

    factory: str
    of: Callable[[AnyModel], AnyModel]


@runtime_checkable
class HasModelView(Protocol):
    """A data set whose classes are coarser than those of some models."""

    def model_view(self, model: str, classes: Sequence[str], /) -> ModelView | None:
        """How the model of this name and these classes is judged; None: as it is. UserError for one that can be judged in no way."""
        ...


def seen_by(dataset: object, model: AnyModel) -> AnyModel:
    """The model as it is judged on a data set."""
    view = dataset.model_view(model.info.name, model.info.classes.names) if isinstance(dataset, HasModelView) else None
    return model if view is None else view.of(model)


def check_task(kind: str, task: str, served: Sequence[Task]) -> None:
    """UserError where the reader `kind` serves no such task."""
    if task not in served:
        raise UserError(f"{kind} data serves {' and '.join(served)}, not {task!r}; choose another reader (robustbench-cv list datasets)")


def existing_folder(path: str | Path, expects: str) -> Path:
    """`path` as an absolute folder; UserError, saying what it should hold, where it is none."""
    folder = resolved(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}; give the folder that holds {expects}")
    return folder


def dataset_name(path: Path, stem: str | None = None) -> str:
    """The name of a data set from its folder (or from `stem` in it); a split is named with the folder that it is a part of.

    >>> dataset_name(Path("/data/camvid/test")), dataset_name(Path("/data/imgs")), dataset_name(Path("/data/cifar10"), "test_2000")
    ('camvid-test', 'imgs', 'cifar10-test_2000')
    """
    own, parent = (stem, path) if stem else (path.name, path.parent)
    name = f"{parent.name}-{own}" if _SPLIT.fullmatch(own) and parent.name else own
    return unicodedata.normalize("NFC", name) or "data"


def sample_id(dataset: str, relative: PurePath | str) -> str:
    """`dataset/relative/path` with forward slashes and composed characters, whatever the file system does."""
    path = PurePath(relative) if isinstance(relative, str) else relative
    return unicodedata.normalize("NFC", f"{dataset}/{path.as_posix()}")


@dataclass(frozen=True)
class Listing:
    """Files under a folder, relative to it and sorted. others: those with another suffix, and links that lead nowhere."""

    files: tuple[Path, ...]
    others: tuple[Path, ...]


def list_files(root: Path, suffixes: frozenset[str]) -> Listing:
    """What lies under `root` at any depth; hidden files and folders are passed over.

    Links to files and folders are followed, wherever they lead, as torchvision's ImageFolder does; not those to a folder that the link
    itself lies in. A link to no file is listed under its own name: what a store did not deliver is missed when it is read, not before.
    UserError for a folder that cannot be listed, or for more folders than a data set has.
    """
    files: list[Path] = []
    others: list[Path] = []
    for path in _walk(root):
        (files if path.suffix.lower() in suffixes else others).append(path.relative_to(root))
    return Listing(*(tuple(sorted(paths, key=PurePath.as_posix)) for paths in (files, others)))


def _walk(root: Path) -> Iterator[Path]:
    waiting = [(root, frozenset(_identity(parent) for parent in root.parents))]
    for _ in range(_MOST_FOLDERS):
        if not waiting:
            return
        folder, above = waiting.pop()
        try:
            identity, entries = _identity(folder), list(os.scandir(folder))
        except OSError as error:
            raise UserError(f"cannot list {folder}: {error.strerror}; make it readable or take it out of the data set") from error
        if identity in above:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry.path):  # of a ring of links False, where the entry itself would raise
                waiting.append((Path(entry.path), above | {identity}))
            else:
                yield Path(entry.path)
    raise UserError(f"{root} has more than {_MOST_FOLDERS} folders; do links in it lead to folders full of links?")


def _identity(folder: Path) -> tuple[int, int]:
    """What two ways to one folder have in common."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def digest(*parts: bytes | str | Path | None) -> str:
    """A hash of texts, bytes and whole files, each kept apart from the next. A file that cannot be read counts as None."""
    total = hashlib.sha256()
    for part in parts:
        total.update(_part(part))
    return total.hexdigest()


def _part(part: bytes | str | Path | None) -> bytes:
    if isinstance(part, Path):
        try:
            return b"file" + file_sha256(part)
        except (OSError, ValueError):  # ValueError: a name with a NUL
            return b"none"
    if part is None:
        return b"none"
    return b"data" + hashlib.sha256(part.encode(errors="surrogatepass") if isinstance(part, str) else part).digest()
