"""The run folder: where each file lies, and writing that is whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec


@dataclass(frozen=True)
class Store:
    """A run folder. Nothing in it is ever changed in place; a part that exists is complete."""

    folder: Path

    def part(self, key: str) -> Path:
        return self.folder / "records" / f"{key}.parquet"

    def images(self, key: str) -> Path:
        return self.folder / "images" / key

    def predictions(self, key: str) -> Path:
        return self.folder / "predictions" / "cells" / f"{key}.json"

    def timing(self, key: str) -> Path:
        return self.folder / "timings" / f"{key}.json"

    def findings(self, key: str) -> Path:
        return self.folder / "checks" / f"{key}.json"

    def done(self, key: str) -> bool:
        return self.part(key).exists()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole: under a temporary name, then renamed. A file that already holds these bytes is left alone."""
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
    """Write a value as indented JSON, whole."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
