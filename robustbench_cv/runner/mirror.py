"""A copy of a run folder at an address that fsspec knows (s3://, gs://, file://, ...): where a run goes on from on another machine, and how
workers without a shared folder hand their cells over.

A file goes there under a temporary name and is renamed, a cell's records after all else that it leaves, as in the folder itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from robustbench_cv.errors import UserError
from robustbench_cv.files import PARTIAL, written_whole
from robustbench_cv.record_store import RecordStore
from robustbench_cv.run_folder import ARTEFACT, RunFolder
from robustbench_cv.runner.planned_cells import PlannedCell

_OF_THIS_MACHINE = ("edited", "file-hashes.json", ".lock")
"""What means nothing elsewhere."""


@dataclass(frozen=True)
class Mirror:
    """address: such as "s3://bucket/runs/quick". Where it cannot be reached, what fsspec raises: an OSError, in most cases."""

    address: str
    folder: RunFolder

    def push(self, paths: Iterable[Path]) -> None:
        """Copy files and folders of the run folder there, those that exist, in this order."""
        files, root = self._place()
        for path in paths:
            for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if one.is_file() and not one.name.endswith(PARTIAL):
                    _put(files, one, f"{root}/{one.relative_to(self.folder.root).as_posix()}")

    def pull(self, paths: Iterable[Path]) -> None:
        """Copy files and folders of the run folder from there, those that are not here yet."""
        files, root = self._place()
        for path in paths:
            place = f"{root}/{path.relative_to(self.folder.root).as_posix()}"
            for name in files.find(place) if files.exists(place) else []:
                self._get(files, root, name)

    def pull_all(self) -> None:
        """Everything that lies there and not here."""
        files, root = self._place()
        for name in sorted(files.find(root)) if files.exists(root) else []:
            if not name.endswith(PARTIAL) and _relative(root, name).parts[0] not in _OF_THIS_MACHINE:
                self._get(files, root, name)

    def push_all(self) -> None:
        """Make it the same as the folder: what is new or another one goes there, what is no more is deleted there."""
        files, root = self._place()
        here = {path.relative_to(self.folder.root).as_posix(): path for path in self._whole_files()}
        there = {str(_relative(root, name)): info for name, info in (files.find(root, detail=True) if files.exists(root) else {}).items()}
        for name, path in here.items():
            # The same name and size is not the same file where a file is changed in place: those of the whole run are written again.
            if name not in there or there[name]["size"] != path.stat().st_size or len(PurePosixPath(name).parts) == 1:
                _put(files, path, f"{root}/{name}")
        for name in there.keys() - here.keys():
            files.rm_file(f"{root}/{name}")

    def _whole_files(self) -> Iterator[Path]:
        for path in sorted(self.folder.root.rglob("*")):
            if path.is_file() and not path.name.endswith(PARTIAL) and path.relative_to(self.folder.root).parts[0] not in _OF_THIS_MACHINE:
                yield path

    def _get(self, files: Any, root: str, name: str) -> None:
        path = self.folder.root / _relative(root, name)
        if path.exists() or path.name.endswith(PARTIAL):
            return
        with written_whole(path) as temporary:
            files.get_file(name, str(temporary))

    def _place(self) -> tuple[Any, str]:
        """The file system, and the folder in it."""
        try:
            files, root = fsspec.url_to_fs(self.address)
        except ImportError as missing:
            raise UserError(f"--mirror {self.address}: {missing}") from missing
        except ValueError as unknown:
            raise UserError(f"--mirror {self.address!r}: {unknown}; give an address such as s3://bucket/runs/quick") from unknown
        return files, str(root).rstrip("/")


def files_of(folder: RunFolder, cell: PlannedCell) -> list[Path]:
    """The files and folders that a cell leaves, its records last."""
    key = cell.row.key
    fitted = [folder.root / ARTEFACT.format(key=cell.fit.key[:32])] if cell.fit is not None else []
    beside = [folder.images(key), folder.cell_predictions(key), folder.cell_answers(key), folder.timing(key)]
    return [*fitted, *beside, RecordStore(folder).part(cell.row)]


def files_before(folder: RunFolder, cell: PlannedCell) -> list[Path]:
    """What a cell takes over: pictures and records of the condition that it follows, and what its attack was fitted to."""
    fitted = [folder.root / ARTEFACT.format(key=cell.fit.key[:32])] if cell.fit is not None else []
    base = cell.base
    return fitted if base is None else [*fitted, folder.images(base.key), RecordStore(folder).part(base).parent]


def _put(files: Any, path: Path, name: str) -> None:
    files.makedirs(name.rpartition("/")[0], exist_ok=True)
    temporary = f"{name.rpartition('/')[0]}/{uuid.uuid4().hex}{PARTIAL}"
    files.put_file(str(path), temporary)
    files.mv(temporary, name)


def _relative(root: str, name: str) -> PurePosixPath:
    """A file's place in the folder. UserError for a name that leaves it."""
    found = PurePosixPath(name.removeprefix(root).lstrip("/"))
    if not name.startswith(root) or ".." in found.parts or not found.parts:
        raise UserError(f"the mirror lists {name!r}, which is not in {root!r}")
    return found
