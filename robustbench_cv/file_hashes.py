"""sha256 of files, which are read again only where their size, times or place on the disk say that they may be others."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import msgspec

from robustbench_cv.files import open_regular
from robustbench_cv.kept_files import read_kept, write_kept

YOUNG = 2_000_000_000
"""ns: a file that was changed so shortly before it was read may be changed again without another time (some file systems count in steps
of two seconds); its hash is not trusted later, as git's "racily clean" entries are not."""


class FileHash(msgspec.Struct, frozen=True):
    """What a file's status was when it was read, and the sha256 of its content. settled: whether its times were old enough then."""

    status: tuple[int, ...]
    sha256: str
    settled: bool


class FileHashes:
    """Hashes by path. What they cannot see: other bytes of the same length on a system that lets both times of a file be set back."""

    def __init__(self, known: dict[str, FileHash] | None = None) -> None:
        self._known = known or {}
        self._asked: dict[str, FileHash] = {}

    def sha256(self, path: Path) -> bytes:
        """Of the content of a regular file. OSError where there is none, ValueError for a name that can be none."""
        name, status = os.path.abspath(path), _status(os.stat(path))
        known = self._asked.get(name) or self._known.get(name)
        if known is None or not known.settled or known.status != status:
            known = _read(path)
        self._asked[name] = known
        return bytes.fromhex(known.sha256)

    def asked(self) -> dict[str, FileHash]:
        """The hash of every file that was asked for."""
        return self._asked


_current: ContextVar[FileHashes | None] = ContextVar("_current", default=None)


def file_sha256(path: Path) -> bytes:
    """sha256 of a file's content: read now, or known where a block remembers. OSError and ValueError as FileHashes.sha256."""
    hashes = _current.get()
    return bytes.fromhex(_read(path).sha256) if hashes is None else hashes.sha256(path)


@contextmanager
def remembered_hashes(store: Path, *, reread: bool = False, keep: bool = True) -> Iterator[None]:
    """Inside the block files are hashed once, and not at all where the JSON file `store` knows them as they are. It is written at the end.

    reread: every file is read each time it is asked for. keep: False leaves the file to the process that owns it.
    """
    if reread:
        yield
        return
    hashes = FileHashes(_stored(store))
    token = _current.set(hashes)
    try:
        yield
    finally:
        _current.reset(token)
        if keep:
            _write(store, hashes)


def store_hashes(store: Path) -> None:
    """Write what this process has hashed so far, for others that are about to start."""
    hashes = _current.get()
    if hashes is not None:
        _write(store, hashes)


def _write(store: Path, hashes: FileHashes) -> None:
    if hashes.asked():
        write_kept(store, _stored(store) | hashes.asked())


def _stored(store: Path) -> dict[str, FileHash]:
    """Nothing where nothing whole lies there: then files are read."""
    try:
        known: dict[str, FileHash] | None = read_kept(store, dict[str, FileHash])
    except OSError:
        return {}
    return known or {}


def _read(path: Path) -> FileHash:
    with open_regular(path) as file:
        before = os.fstat(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    age = time.time_ns() - max(before.st_mtime_ns, before.st_ctime_ns)
    return FileHash(_status(before), sha256, settled=age > YOUNG)


def _status(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
