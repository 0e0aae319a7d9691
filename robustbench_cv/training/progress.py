"""Progress on stderr, with the time left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from robustbench_cv.terminal import elide, one_line

Advance: TypeAlias = Callable[[int, int, str], None]
"""Told (done, total, remark)."""


@contextlib.contextmanager
def bar(what: str, total: int) -> Iterator[Advance]:
    """A bar while the block runs; a plain final line where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(elide(one_line(what), 48), total=total, remark="")
        yield lambda done, total, remark: progress.update(task, completed=done, total=total, remark=remark)
