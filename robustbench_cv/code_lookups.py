"""Which code was chosen by name: recorded while something is built, since no syntax tree shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple


class Lookup(NamedTuple):
    """Code that was chosen by name: the module of an entry, or the path of a user's file; kind "package": an optional library."""

    kind: str
    module: str
    path: Path | None = None


_lookups: ContextVar[list[Lookup] | None] = ContextVar("_lookups", default=None)


@contextmanager
def recorded_lookups() -> Iterator[list[Lookup]]:
    """What is looked up inside the block, also by what is built there: all the code that a built thing was chosen from by name."""
    outer, inner = _lookups.get(), list[Lookup]()
    token = _lookups.set(inner)
    try:
        yield inner
    finally:
        _lookups.reset(token)
        if outer is not None:
            outer += inner


@contextmanager
def unrecorded_lookups() -> Iterator[None]:
    """For a block whose look-ups say nothing of what is built around it, such as the training of its weights."""
    token = _lookups.set(None)
    try:
        yield
    finally:
        _lookups.reset(token)


def record_lookup(lookup: Lookup) -> None:
    """Note what was chosen by name, where somebody records it."""
    recorded = _lookups.get()
    if recorded is not None and lookup not in recorded:
        recorded.append(lookup)
