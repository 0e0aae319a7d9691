"""Worker processes of this machine: started fresh, told cells by key through a pipe, replaced where they die."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import torch

from robustbench_cv.errors import RobustBenchError, describe
from robustbench_cv.runner.executor import Done, Group, Queue, WorkOrder

_LOOK_SECONDS = 1.0
"""Between two looks of a worker for its run's process: it ends soon after a run that was killed."""


@dataclass(frozen=True)
class LocalExecutor:
    """workers: processes; of several GPUs each takes one, in turn."""

    workers: int

    def compute(self, order: WorkOrder, groups: Sequence[Group], done: Callable[[Done], None]) -> None:
        """See `Executor`."""
        queue = Queue(groups)
        team = _Team(order)
        try:
            for _ in range(min(self.workers, len(groups))):
                team.hire()
            while queue.running or not queue.is_empty:
                for name, message in team.messages():
                    _act(team, queue, name, message, done)
        finally:
            team.dismiss()


def _act(team: _Team, queue: Queue, name: str, message: object, done: Callable[[Done], None]) -> None:
    if isinstance(message, BaseException):
        raise message
    if message is None:
        queue.lose(name, team.bury(name))
        if not queue.is_empty:
            team.hire()
        return
    if message != "ready":
        queue.finish(name, str(message))
        done(Done(str(message)))
    if name not in queue.running:
        team.give(name, queue.take(name))


class _Team:
    """The processes by name, with their ends of the pipes."""

    def __init__(self, order: WorkOrder) -> None:
        self._order, self._hired = order, 0
        self._members: dict[str, tuple[SpawnProcess, Connection]] = {}

    def hire(self) -> None:
        """One more process; it says "ready" once it has planned."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        device = _device(self._order.options.device, self._hired)
        process = context.Process(target=_serve, args=(theirs, self._order.on(device), os.getpid()))
        with _as_no_script():
            process.start()
        theirs.close()
        self._members[f"worker {self._hired}"] = process, ours
        self._hired += 1

    def messages(self) -> list[tuple[str, object]]:
        """What has come: "ready", the key of a stored cell, an exception; None of a worker that is no more."""
        by_pipe = {pipe: name for name, (_, pipe) in self._members.items()}
        found = []
        for pipe in wait(list(by_pipe), timeout=_LOOK_SECONDS):
            assert isinstance(pipe, Connection)
            try:
                found.append((by_pipe[pipe], pipe.recv()))
            except (EOFError, OSError):
                found.append((by_pipe[pipe], None))
        return found

    def give(self, name: str, group: Group | None) -> None:
        """Cells to compute, or nothing more to do: then the worker ends."""
        process, pipe = self._members[name]
        with contextlib.suppress(OSError):  # that it died is told by the next message
            pipe.send(None if group is None else group.keys)
        if group is None:
            del self._members[name]
            process.join()
            pipe.close()

    def bury(self, name: str) -> str:
        """How a worker ended."""
        process, pipe = self._members.pop(name)
        pipe.close()
        process.join()
        code = process.exitcode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def dismiss(self) -> None:
        """End those that are left."""
        for process, pipe in self._members.values():
            process.terminate()
            process.join()
            pipe.close()


@contextlib.contextmanager
def _as_no_script() -> Iterator[None]:
    """A spawned process runs the caller's script again under another name; ours has no need of it, and that script may have no guard."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if getattr(main, name, None) is not None}
    for name in kept:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)


def _device(asked: str, worker: int) -> str:
    """Of several GPUs the next one, where none was named."""
    count = torch.cuda.device_count() if asked == "cuda" else 0
    return f"cuda:{worker % count}" if count > 1 else asked


def _serve(pipe: Connection, order: WorkOrder, parent: int) -> None:
    """The worker's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run's own process ends its workers
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        from robustbench_cv.runner.worker import Worker

        worker = Worker(order)
        pipe.send("ready")
        while (keys := pipe.recv()) is not None:
            for key in worker.compute(keys):
                pipe.send(key)
    except EOFError:
        return
    except RobustBenchError as error:
        _tell(pipe, travelling(error))
    except MemoryError as error:
        _tell(pipe, OSError(f"a worker ran out of memory: {describe(error)}; take fewer --workers"))
    except OSError as error:
        _tell(pipe, error)


def _tell(pipe: Connection, error: Exception) -> None:
    """Where the run itself was killed nobody is left to tell."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.send(error)


def travelling(error: Exception) -> Exception:
    """The error as another process can be sent it: itself where it can be pickled, else its kind and its text."""
    try:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 # nosec B301 - bytes of our own, made in this line
    except Exception:  # somebody's exception may refuse either way
        copy = None
    return copy if isinstance(copy, Exception) else type(error)(str(error))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)
