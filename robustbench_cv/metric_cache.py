"""Numbers that are made once: kept in the run folder under a hash of the records and the code that they were made of."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from robustbench_cv.kept_files import read_kept, write_kept
from robustbench_cv.run_folder import RunFolder, digest

T = TypeVar("T")
logger = logging.getLogger(__name__)


class _File(msgspec.Struct, frozen=True):
    """A file of records as it was when it was read: its hash holds as long as size and time do."""

    size: int
    mtime_ns: int
    sha256: str


class _Kept(msgspec.Struct):
    """What estimates.json holds. numbers: JSON, by the hash of what they were made of."""

    files: dict[str, _File] = {}
    numbers: dict[str, msgspec.Raw] = {}


class EstimateCache:
    """Numbers of a run, by what they were made of. folder: None keeps them for the life of this object alone."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else RunFolder(folder)
        self._here: dict[object, Any] = {}
        self._used: dict[str, msgspec.Raw] = {}
        self._hashes: dict[Path, _File] = {}

    def remember(self, name: tuple[object, ...], files: Sequence[Path] | None, facts: object, kind: Any, make: Callable[[], T]) -> T:
        """What `make` makes, once for a name. files: of the records that it is made of; None where it may not outlive this object.

        facts: all else that it depends on. kind: its type, as msgspec reads it.
        """
        if name not in self._here:
            self._here[name] = make() if self._folder is None or files is None else self._stored(name, files, facts, kind, make)
        value: T = self._here[name]
        return value

    def _stored(self, name: tuple[object, ...], files: Sequence[Path], facts: object, kind: Any, make: Callable[[], T]) -> T:
        key = digest([name, [self.sha256(path) for path in files], facts, _code_sha256()])
        kept = self._kept.numbers.get(key)
        if kept is not None:
            try:
                value: T = msgspec.json.decode(kept, type=kind)
            except msgspec.ValidationError:
                logger.warning("%s holds a number of another kind: taken as missing", self._folder and self._folder.estimates)
            else:
                self._used[key] = kept
                return value
        made = make()
        self._used[key] = msgspec.Raw(msgspec.json.encode(made))
        return made

    @functools.cached_property
    def _kept(self) -> _Kept:
        kept = None if self._folder is None else read_kept(self._folder.estimates, _Kept)
        return kept or _Kept()

    def sha256(self, path: Path) -> str:
        """Of a file of records, read once for each size and time."""
        if path not in self._hashes:
            assert self._folder is not None
            stat, known = path.stat(), self._kept.files.get(self._name(path))
            if known is None or (known.size, known.mtime_ns) != (stat.st_size, stat.st_mtime_ns):
                with path.open("rb") as handle:
                    known = _File(stat.st_size, stat.st_mtime_ns, hashlib.file_digest(handle, "sha256").hexdigest())
            self._hashes[path] = known
        return self._hashes[path].sha256

    def _name(self, path: Path) -> str:
        assert self._folder is not None
        return path.relative_to(self._folder.root).as_posix()

    def save(self) -> None:
        """Keep what was asked for; what nothing asked for any more is dropped. A folder that cannot be written to stays as it is."""
        if self._folder is None or not self._used:
            return
        kept = _Kept({self._name(p): f for p, f in sorted(self._hashes.items())}, dict(sorted(self._used.items())))
        try:
            write_kept(self._folder.estimates, kept, indent=0)
        except OSError as error:
            logger.debug("%s is not kept: %s", self._folder.estimates, error)


@functools.cache
def _code_sha256() -> str:
    """Of the code that makes numbers of records: this package's metrics and what is made of them."""
    package = Path(__file__).parent
    return digest(
        [
            path.read_text(encoding="utf-8")
            for path in (package / "results.py", package / "context_results.py", *sorted((package / "metrics").glob("*.py")))
        ]
    )
