"""Files that users name; and writing files whole or not at all, and not at all where they already hold the same."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from robustbench_cv.arguments import shortened
from robustbench_cv.errors import UserError


def is_file(path: Path) -> bool:
    """Whether a path that a user wrote is a file; UserError where nobody could say (a name too long, a NUL, no permission)."""
    try:
        return path.is_file()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shortened(str(path))!r} cannot be looked for: {reason}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write under a temporary name, then rename. A file that already holds these bytes is left alone."""
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
