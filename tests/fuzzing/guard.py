"""What a reader may not do while it is watched: run for long, take gigabytes, write, start a program, reach for a network."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

LONGEST_SECONDS, LONGEST_WAIT = 10, 100
"""Of computing, and of waiting, for one file; a reader is done in milliseconds, where nobody else uses the machine."""

MOST_BYTES = 3 * 2**30
"""Of address space beyond what the process has."""

_FORBIDDEN = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
)
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "shutil.rmtree")
"""What they name must lie in the folder."""

_watched: list[tuple[Path, list[str]]] = []


class TookTooLong(BaseException):
    """No reader may catch it."""


class Forbidden(BaseException):
    """No reader may catch it."""


@contextmanager
def guarded(folder: Path, seconds: float = LONGEST_SECONDS) -> Iterator[None]:
    """Forbidden where something is written outside the folder, or a program, a network or a file's end is asked for; TookTooLong."""
    _install()
    seen: list[str] = []
    _watched.append((folder, seen))
    before = {number: signal.signal(number, _alarm) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_REAL, LONGEST_WAIT)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        with _little_memory():
            yield
    finally:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        _watched.pop()
    if seen:
        raise Forbidden("; ".join(seen))


@contextmanager
def _little_memory() -> Iterator[None]:
    """A limit on the address space where the system has one: what asks for more gets a MemoryError."""
    try:
        import resource

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # not Linux
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MOST_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _alarm(number: int, frame: FrameType | None) -> None:
    raise TookTooLong(f"waited {LONGEST_WAIT} s" if number == signal.SIGALRM else "computed for too long")


def _install() -> None:
    """An audit hook stays for the life of the process; it says nothing while nobody watches."""
    if not getattr(sys, "_robustbench_cv_guard", False):
        sys.addaudithook(_hook)
        sys._robustbench_cv_guard = True  # type: ignore[attr-defined]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    folder, seen = _watched[-1]
    started = event.startswith(_FORBIDDEN) and arguments[0] != "uname"  # which Python's own platform module asks, once
    strays = event in _CHANGES and not all(_inside(name, folder) for name in arguments[:2] if isinstance(name, str))
    if started or strays:
        seen.append(f"{event}{arguments!r:.200}")
    elif event == "open" and isinstance(arguments[0], str) and _writes(arguments) and not _inside(arguments[0], folder):
        seen.append(f"{arguments[0]} was opened to be written")


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return bool(set(str(mode)) & set("wax+")) if mode is not None else bool(isinstance(flags, int) and flags & 0b11)


def _inside(name: str, folder: Path) -> bool:
    return name == "/dev/null" or Path(name).resolve().is_relative_to(folder.resolve())
