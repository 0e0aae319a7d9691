"""Progress with the time left, on stderr: a bar in a terminal, plain lines on a pipe, where a bar would show at its end alone."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from robustbench_cv.terminal import elide, one_line, say

WIDTH = 48
"""Characters of a bar's text."""
SILENCE_SECONDS = 30.0
"""After which a line says that something is still being done."""
LEAST_SECONDS = 1.0
"""Between two lines: cells that are there in no time need none each."""


class Progress(Protocol):
    """A bar over samples; used as a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> bool | None: ...
    def describe(self, text: str) -> None: ...
    def advance(self, samples: int) -> None: ...
    def expect(self, seconds: float | None) -> None: ...


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

    def expect(self, seconds: float | None) -> None:
        """Nothing to show."""


class Bar:
    """A rich progress bar with elapsed time and time left; none where there is nothing to do."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        # Names are no markup: "[/x]" in one would end the run.
        text = TextColumn(f"{{task.description:<{WIDTH}}}", markup=False)
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
        self._bar = RichProgress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("", total=total, left="")
        self._total, self._done, self._expected = total, 0, False
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        if self._total:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        if self._total:
            self._bar.stop()

    def describe(self, text: str) -> None:
        """text: names of others, shown on one line and elided in the middle."""
        self._bar.update(self._task, description=elide(one_line(text), WIDTH))

    def advance(self, samples: int) -> None:
        self._done += samples
        self._bar.advance(self._task, samples)
        if not self._expected:
            self._show_left(linear(self._done, self._total, time.monotonic() - self._begun))

    def expect(self, seconds: float | None) -> None:
        """seconds: that what is left will take; None where nobody knows."""
        self._expected = True
        self._show_left(seconds)

    def _show_left(self, seconds: float | None) -> None:
        self._bar.update(self._task, left="" if seconds is None else f"{_clock(seconds)} left")


class Lines:
    """A plain line when something else is begun, and one every 30 seconds until then: for pipes, logs and CI."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._text = total, 0, ""
        self._begun = self._expected_at = time.monotonic()
        self._expected: float | None = None
        self._said_at = -float("inf")
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._clock = threading.Thread(target=self._repeat, daemon=True)

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self._ended.set()
        self._clock.join()

    def describe(self, text: str) -> None:
        """text: names of others, shown on one line."""
        if text != self._text:
            self._text = text
            self._say_after(LEAST_SECONDS)

    def advance(self, samples: int) -> None:
        self._done += samples
        self._say_after(SILENCE_SECONDS)

    def expect(self, seconds: float | None) -> None:
        """seconds: that what is left will take; None where nobody knows."""
        self._expected, self._expected_at = seconds, time.monotonic()

    def _repeat(self) -> None:
        while not self._ended.wait(SILENCE_SECONDS / 3):
            self._say_after(SILENCE_SECONDS)

    def _say_after(self, seconds: float) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._said_at < seconds or not self._text or not self._total:
                return
            self._said_at = now
        left = linear(self._done, self._total, now - self._begun)
        if self._expected is not None and 0 < self._done < self._total:
            left = max(0.0, self._expected - (now - self._expected_at))
        say(progress_line(self._done, self._total, now - self._begun, self._text, left), err=True)


def linear(done: int, total: int, seconds: float) -> float | None:
    """Seconds that what is left takes if it goes on as it went; None before anything is done, and at the end."""
    return seconds / done * (total - done) if 0 < done < total else None


def progress_line(done: int, total: int, seconds: float, text: str, left: float | None = None) -> str:
    """Where a run is, and how long what is left will take; of a single thing to do, since when it is being done.

    >>> progress_line(64, 512, 60, "unet · clean", left=420)
    ' 12 %  64 of 512, 0:07:00 left  unet · clean'
    >>> progress_line(0, 1, 34, "report")
    '   …   report, since 0:00:34'
    """
    if total <= 1:
        return f"   …   {one_line(text)}" + (f", since {_clock(seconds)}" if seconds >= 1 else "")
    return f"{100 * done // total:3d} %  {done:,} of {total:,}{f', {_clock(left)} left' if left is not None else ''}  {one_line(text)}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def progress_for(*, quiet: bool = False) -> Callable[[int], Progress]:
    """A bar where stderr is a terminal, lines where it is none, nothing where nothing is wanted."""
    return silent if quiet else Bar if sys.stderr.isatty() else Lines
