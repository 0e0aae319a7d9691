"""Files that users name; writing files whole or not at all, and reading them, or saying which one is damaged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

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


def load_json(path: Path, kind: Any, *, remedy: str) -> Any:
    """The value in a JSON file, of a type that msgspec reads. UserError, which ends with the remedy, where the file is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); {remedy}") from error
