"""Writing files whole or not at all, and not at all where they already hold the same."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

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
    finally:
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
