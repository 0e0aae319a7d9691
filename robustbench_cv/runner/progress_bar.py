"""Progress with the time left, on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from robustbench_cv.terminal import elide, one_line

WIDTH = 48
"""Characters of a bar's text."""


class Progress(Protocol):
    """A bar over samples; used as a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> bool | None: ...
    def describe(self, text: str) -> None: ...
    def advance(self, samples: int) -> None: ...


class silent:  # noqa: N801  (a factory: silent(total))
    """No bar at all."""

    def __init__(self, total: int) -> None:
        self.total = total

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        return None

    def describe(self, text: str) -> None:
        """Nothing to show."""

    def advance(self, samples: int) -> None:
        """Nothing to show."""


class Bar:
    """A rich progress bar with elapsed time and time left."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        # Names are no markup: "[/x]" in one would end the run.
        text = TextColumn(f"{{task.description:<{WIDTH}}}", markup=False)
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = RichProgress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self._bar.stop()

    def describe(self, text: str) -> None:
        """text: names of others, shown on one line and elided in the middle."""
        self._bar.update(self._task, description=elide(one_line(text), WIDTH))

    def advance(self, samples: int) -> None:
        self._bar.advance(self._task, samples)
