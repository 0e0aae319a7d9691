"""Which files a thing was built from, apart from code: recorded while it is built, since what it became does not say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_reads: ContextVar[list[Path | None] | None] = ContextVar("_reads", default=None)


@contextmanager
def recorded_reads() -> Iterator[list[Path | None]]:
    """The files that are read inside the block; None among them for what was read from a place that nobody could name."""
    outer, inner = _reads.get(), list[Path | None]()
    token = _reads.set(inner)
    try:
        yield inner
    finally:
        _reads.reset(token)
        if outer is not None:
            outer += inner


def record_read(path: Path | None) -> None:
    """Note a file that is read, where somebody records it. None: something is read whose file is not known, such as a library's cache."""
    recorded = _reads.get()
    if recorded is not None:
        recorded.append(None if path is None else path.expanduser().absolute())
