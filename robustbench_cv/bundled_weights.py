"""Which weights this package carries, by the names of their files. Imports no torch: listing answers in milliseconds."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection
from pathlib import Path

FOLDER = Path(__file__).parent / "models" / "weights"
"""The bundled weights and their cards."""

MOST_NAMED = 6
"""Models that a message names (project choice)."""


def cache() -> Path:
    """Where weights stand that were trained on first use."""
    return Path(os.environ.get("ROBUSTBENCH_CV_CACHE") or Path.home() / ".cache" / "robustbench-cv").expanduser()


def cached_weights(architecture: str, tag: str) -> Path:
    """Where weights of a tag stand, if they were trained on first use."""
    return cache() / f"{architecture}.{tag}.safetensors"


def bundled() -> dict[str, list[str]]:
    """Tags of the bundled weights, by architecture."""
    made: dict[str, list[str]] = {}
    for path in sorted(FOLDER.glob("*.*.safetensors")):
        name, tag, *_ = path.name.split(".")
        made.setdefault(name, []).append(tag)
    return {name: sorted(tags) for name, tags in made.items()}


def bundled_tags(architecture: str) -> list[str]:
    """Tags of the bundled weights of an architecture."""
    return bundled().get(architecture, [])


def lacking(architecture: str, tag: str, among: Collection[str] | None = None) -> str:
    """What to say of weights that an architecture lacks: the closest tag that it has, or models that have such weights.

    among: the architectures that will do, such as those of the same task.

    >>> lacking("lenet5", "scens")
    "lenet5 has no bundled weights 'scens'; did you mean 'scenes'?"
    """
    tags = bundled_tags(architecture)
    close = difflib.get_close_matches(tag[:100], tags, n=1)
    if close:
        way_out = f"did you mean {close[0]!r}?"
    elif having(tag, among):
        way_out = having(tag, among)
    else:
        way_out = f"it has {', '.join(tags)}" if tags else "it has none; give checkpoint='file.safetensors'"
    return f"{architecture} has no bundled weights {tag!r}; {way_out}"


def having(tag: str, among: Collection[str] | None = None) -> str:
    """The models that have bundled weights of a tag, in words; "" where none has."""
    names = [name for name, tags in bundled().items() if tag in tags and (among is None or name in among)]
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = ", ".join(f"{name}.{tag}" for name in names[:MOST_NAMED])
    return f"there are {listed}{more} (robustbench-cv list models --weights {tag})" if names else ""
