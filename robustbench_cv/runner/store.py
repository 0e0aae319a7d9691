"""The run folder: where each file lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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

    def artefacts(self, key: str) -> Path:
        return self.folder / "artefacts" / key

    def timing(self, key: str) -> Path:
        return self.folder / "timings" / f"{key}.json"

    def findings(self, key: str) -> Path:
        return self.folder / "checks" / f"{key}.json"

    def strength(self, key: str) -> Path:
        return self.folder / "checks" / f"strength-{key}.json"

    def complexity(self, key: str) -> Path:
        return self.folder / "complexity" / f"{key}.json"

    def done(self, key: str) -> bool:
        return self.part(key).exists()
