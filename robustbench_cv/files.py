"""Files that users name; writing files whole or not at all, and reading them, or saying which one is damaged."""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from robustbench_cv.arguments import shorten
from robustbench_cv.errors import Damaged, UserError
from robustbench_cv.msgspec_messages import in_words


def is_file(path: Path) -> bool:
    """Whether a path that a user wrote is a file; UserError where nobody could say (a name too long, a NUL, no permission)."""
    try:
        return path.is_file()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shorten(str(path))!r} cannot be looked for: {reason}") from error


def resolved(path: str | Path) -> Path:
    """A path that a user wrote, absolute and without links; UserError where nobody could say (links in a ring, a NUL, no such home)."""
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shorten(str(path))!r} cannot be looked for: {reason}") from error


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file (or a link to one), open for reading.

    OSError for whatever else has a name: opening a pipe waits for a writer, and a device may never end.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file", str(path))
    # Not to wait either where a pipe has taken the file's place since.
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")


def read_regular(path: Path, most: int) -> bytes:
    """All bytes of a regular file. OSError for what is none, and for one of more than `most` bytes, before they are read."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
        return file.read()


def decode_text(data: bytes) -> str:
    """UTF-8, or UTF-16 or 32 with a byte order mark, which is left out. UnicodeDecodeError for anything else."""
    for mark, encoding in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")):  # a UTF-16 mark is the start of a UTF-32 one
        if data.startswith(mark):
            return data.decode(encoding)
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


PARTIAL = ".partial"
"""How the names of files end that are not written to their end: leftovers of a killed process are safe to delete."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path, nobody else's, that becomes `path` at the end of the block, once its bytes are on the disk; gone on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{uuid.uuid4().hex}{PARTIAL}")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        # The temporary name tells nobody anything, and a full disk names no file at all.
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.strerror, error.filename = os.strerror(error.errno), str(path)
        raise
    finally:
        with suppress(OSError):  # of a disk that has gone: what failed before it is what is said
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write under a temporary name, then rename. A file that already holds these bytes is left alone."""
    if path.exists() and path.read_bytes() == data:
        return
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def load_json(path: Path, kind: Any, *, remedy: str) -> Any:
    """The value in a JSON file, of a type that msgspec reads. Damaged, which ends with the remedy, where it is no such file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = in_words(error) if isinstance(error, msgspec.ValidationError) else error
        raise Damaged(f"{path} is damaged ({reason}); {remedy}") from error
