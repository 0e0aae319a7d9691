"""What a run says to the process that watches it, and what that process knows of earlier attempts: see cli/supervisor.py.

A run that nobody watches says nothing. A line of the file `steps` is what the run begins to do; the last line is what it is doing now.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

VARIABLE = "ROBUSTBENCH_CV_WATCHED"
"""Environment variable that tells a run that it is watched: the watching process's number, a colon, the folder of `steps` and
`faults.json`."""

Kind = Literal["nothing", "answers", "checks", "fit", "cell", "exit"]


class Step(msgspec.Struct, frozen=True):
    """What a run does. what: for people. key: of a cell, or of a model on a data set. code: the exit code that it is about to end with."""

    kind: Kind = "nothing"
    what: str = ""
    key: str = ""
    code: int = 0


class Fault(msgspec.Struct, frozen=True):
    """How a step ended an earlier attempt. code: "timed-out" or "process-died", as in records."""

    reason: str
    code: Literal["timed-out", "process-died"]


@dataclass(frozen=True)
class Watched:
    """The side of the run. faults: of earlier attempts, by the step's key; only of a run that goes on without what is bad."""

    folder: Path
    faults: dict[str, Fault]
    doing: list[Step] = field(default_factory=lambda: [Step()])

    def say(self, step: Step) -> None:
        with steps_file(self.folder).open("ab") as file:
            file.write(msgspec.json.encode(step) + b"\n")


_current: ContextVar[Watched | None] = ContextVar("_current", default=None)


def steps_file(folder: Path) -> Path:
    return folder / "steps"


def faults_file(folder: Path) -> Path:
    return folder / "faults.json"


def begin() -> None:
    """Be watched from now on, where the environment says so; processes that this one starts are not."""
    parent, _, place = os.environ.pop(VARIABLE, "").partition(":")
    if place:
        _end_with(int(parent))
        _current.set(Watched(Path(place), msgspec.json.decode(faults_file(Path(place)).read_bytes(), type=dict[str, Fault])))


def is_watched() -> bool:
    return _current.get() is not None


def doing_now() -> str:
    """What this run said last that it does, in words; empty where nobody watches."""
    watched = _current.get()
    return "" if watched is None else watched.doing[-1].what


@contextmanager
def step(kind: Kind, what: str, key: str = "") -> Iterator[None]:
    """Inside the block the run does this; what it did before goes on after it, with its time counted anew."""
    watched = _current.get()
    if watched is None:
        yield
        return
    watched.doing.append(Step(kind, what, key))
    watched.say(watched.doing[-1])
    try:
        yield
    finally:
        watched.doing.pop()
        watched.say(watched.doing[-1])


def fault_of(key: str) -> Fault | None:
    """How a step ended an earlier attempt of this run; None where it did not."""
    watched = _current.get()
    return None if watched is None else watched.faults.get(key)


def say_exit(code: int) -> None:
    """The process ends by itself: an exit that is not said so is one of somebody else's code."""
    if (watched := _current.get()) is not None:
        watched.say(Step("exit", code=code))


def _end_with(parent: int) -> None:
    """Where the watching process is killed this one must not go on, and hold the folder's lock. Only Linux can be told."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before
            os._exit(1)
