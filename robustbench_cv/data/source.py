"""What every data reader needs: names and ids that are the same on every machine, paths that stay inside, hashes of files.

A new reader is one file in this folder: a factory marked `@dataset()` whose first argument is the path, and a frozen dataclass that is a
Dataset. What is wrong with the whole is a UserError when it is built, what is wrong with one image a BadSample when that one is read.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.tasks import Task

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"})

_SPLIT = re.compile(r"(train|training|val|valid|validation|test|testing|dev|eval)[-_]?\d*", re.IGNORECASE)


def check_task(kind: str, task: str, served: Sequence[Task]) -> None:
    """UserError where the reader `kind` serves no such task."""
    if task not in served:
        raise UserError(f"{kind} data serves {' and '.join(served)}, not {task!r}; choose another reader (robustbench-cv list datasets)")


def existing_folder(path: str | Path, expects: str) -> Path:
    """`path` as an absolute folder; UserError, saying what it should hold, where it is none."""
    folder = Path(path).expanduser().resolve()
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


def inside(root: Path, name: str, entry: str) -> Path:
    """The file `name` under `root`. BadSample where it is absolute, climbs out with "..", or is a link to a place outside."""
    escapes = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or "\0" in name
    path = root if escapes else (root / name).resolve()
    if escapes or not path.is_relative_to(root.resolve()) or path == root.resolve():
        raise BadSample(
            f"{entry}: the file name {name!r} leads out of {root}; only files inside it are read, so correct the name "
            "or give the folder that holds the files themselves"
        )
    return path


def list_files(root: Path, suffixes: frozenset[str]) -> list[Path]:
    """Files under `root` with one of the suffixes, relative to it and sorted; hidden files and folders are passed over."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return sorted((path for path in found if not any(part.startswith(".") for part in path.parts)), key=PurePath.as_posix)


def digest(*parts: bytes | str | Path | None) -> str:
    """A hash of texts, bytes and whole files, each kept apart from the next. A file that cannot be read counts as None."""
    total = hashlib.sha256()
    for part in parts:
        total.update(_part(part))
    return total.hexdigest()


def _part(part: bytes | str | Path | None) -> bytes:
    if isinstance(part, Path):
        try:
            with part.open("rb") as file:
                return b"file" + hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return b"none"
    if part is None:
        return b"none"
    return b"data" + hashlib.sha256(part.encode() if isinstance(part, str) else part).digest()
