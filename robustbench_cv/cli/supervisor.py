"""A run in a process of its own, begun again without what ended it: for models that hang, or die of what no exception tells.

The run says what it does (runner/supervisor_messages.py). A cell that takes too long, or in which the process dies, becomes failed
records under --skip-bad, and else ends the run with the reason.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from robustbench_cv.cli.exits import MACHINE
from robustbench_cv.errors import ForeignError
from robustbench_cv.runner.supervisor_messages import VARIABLE, Fault, Step, faults_file, steps_file
from robustbench_cv.terminal import say

POLL_SECONDS = 0.05

CHECKS_ALLOWANCE = 10
"""Times the limit of a cell that the checks of a model on its data may take (project choice): they ask about the same number of samples
many times over. What it is asked before, for its identity, has as long."""

GRACE_SECONDS = 30.0
"""Between asking a run to end and ending it."""

_CODE = "import json, os, sys; sys.path[:] = json.loads(os.environ.pop('ROBUSTBENCH_CV_PATH')); from robustbench_cv.cli import main; main()"
_FROM_OUTSIDE = tuple(getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name))
"""Signals that no code of a model raises by a mistake: the system's, where memory runs out, or somebody's."""


@dataclass(frozen=True)
class _End:
    """How an attempt ended: in which step, and the process's exit code; None where it was ended for taking too long."""

    step: Step
    code: int | None


def supervise(arguments: Sequence[str], *, seconds: int, skip_bad: bool) -> int:
    """The command in another process, as often as it takes; its exit code. seconds: that a cell may take.

    ForeignError for a step that ended the process, unless the run goes on without it.
    """
    faults: dict[str, Fault] = {}
    while True:
        with tempfile.TemporaryDirectory(prefix="robustbench-cv-") as place:
            faults_file(Path(place)).write_bytes(msgspec.json.encode(faults))
            end = _attempt(arguments, Path(place), seconds)
        if end.step.kind == "exit":
            return end.step.code
        if end.code is not None and -end.code in _FROM_OUTSIDE:
            say(f"error: {_where(end.step)}: {_how(end, seconds).reason} from outside (the system does so where memory runs out); "
                "the same command again goes on from here", err=True)  # fmt: skip
            return MACHINE
        fault = _how(end, seconds)
        if end.step.kind not in ("cell", "checks") or end.step.key in faults:
            raise ForeignError(f"{_where(end.step)}: {fault.reason}; what was done before is kept")
        if not skip_bad:
            raise ForeignError(
                f"{_where(end.step)}: {fault.reason}; what was done before is kept, and with --skip-bad the run records this as failed "
                "and goes on"
            )
        say(f"warning: {_where(end.step)}: {fault.reason}; recorded as failed, and the run goes on", err=True)
        faults[end.step.key] = fault


def _attempt(arguments: Sequence[str], place: Path, seconds: int) -> _End:
    environment = os.environ | {VARIABLE: f"{os.getpid()}:{place}", "ROBUSTBENCH_CV_PATH": json.dumps(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", _CODE, *arguments], env=environment)  # noqa: S603  (this command again)
    try:
        return _watch(process, place, seconds)
    except KeyboardInterrupt:
        _let_end(process)
        if (last := _last_step(place)) is not None and last.kind == "exit":
            return _End(last, process.returncode)
        raise
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _watch(process: subprocess.Popen[bytes], place: Path, seconds: int) -> _End:
    """Until the process ends, or a step of it takes too long."""
    limits = {"cell": seconds, "checks": seconds * CHECKS_ALLOWANCE, "answers": seconds * CHECKS_ALLOWANCE}
    said, doing, since = -1, Step(), time.monotonic()
    while True:
        code = process.poll()
        size = steps_file(place).stat().st_size if steps_file(place).exists() else 0
        if size != said:
            said, doing, since = size, _last_step(place) or Step(), time.monotonic()
        if code is not None:
            return _End(doing, code)
        if time.monotonic() - since > limits.get(doing.kind, float("inf")):
            return _End(doing, None)
        time.sleep(POLL_SECONDS)


def _last_step(place: Path) -> Step | None:
    """What the run said last, in whole lines."""
    lines = steps_file(place).read_bytes().split(b"\n")[:-1] if steps_file(place).exists() else []
    return msgspec.json.decode(lines[-1], type=Step) if lines else None


def _let_end(process: subprocess.Popen[bytes]) -> None:
    """A key reaches both processes, any other signal this one alone: it is passed on where the run does not end by itself."""
    try:
        process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _where(step: Step) -> str:
    return step.what or "the run, between its cells"


def _how(end: _End, seconds: int) -> Fault:
    if end.code is None:
        limit = seconds if end.step.kind == "cell" else seconds * CHECKS_ALLOWANCE
        return Fault(f"did not end within {limit} s (--cell-timeout {seconds})", "timed-out")
    if end.code >= 0:
        return Fault(f"ended the program: exit code {end.code}", "process-died")
    try:
        name = f"{signal.Signals(-end.code).name}, {(signal.strsignal(-end.code) or '').lower()}"
    except ValueError:
        name = f"signal {-end.code}"
    return Fault(f"the process died ({name})", "process-died")
