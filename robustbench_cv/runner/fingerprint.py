"""Hashes of what a number depends on: code, versions, data. A cell's key is made of them, so that nothing stale is ever reused."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import robustbench_cv
from robustbench_cv.registry import Registry, Spec

_SHARED_ROOMS = ("types.py", "noise.py", "boxes.py", "records.py", "predictions.py", "data", "models", "metrics", "runner")
_NUMERIC_PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pillow", "torchattacks")


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of this package and of those that its numbers come from; what is not installed is left out."""
    found = {"robustbench-cv": robustbench_cv.__version__}
    for name in _NUMERIC_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def code_sha256(*, interventions: bool = True, attacks: bool = True, checks: bool = False) -> str:
    """Of the source that a number comes from; the rooms of edits, attacks and checks only where it uses them."""
    rooms = [*_SHARED_ROOMS]
    rooms += ["interventions"] if interventions else []
    rooms += ["adversary", "attacks"] if attacks else []
    rooms += ["checks"] if checks else []
    found = hashlib.sha256()
    for root in map(Path, robustbench_cv.__path__):
        for room in rooms:
            path = root / room
            for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
                found.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return found.hexdigest()


def source_sha256(registry: Registry[Any], specs: Sequence[str]) -> str:
    """Of the user's own files among what specs name (file.py:factory, plug-ins); empty where all is the package's or was built before."""
    found = hashlib.sha256()
    used = False
    for spec in map(Spec.parse, specs):
        if spec.name == "object":
            continue
        # "arch.tag" names bundled weights of an architecture
        path = Path(spec.name) if spec.name.endswith(".py") else registry.entry(spec.name.partition(".")[0]).path
        if path is not None:
            used = True
            found.update(path.read_bytes())
    return found.hexdigest() if used else ""
