"""Workers on a Ray cluster: one actor a worker, with its demand of GPU and memory, replaced on another node where its own is lost.

The data and the code are at the same paths on every node, and so is the run folder (a shared file system), where a worker writes its cells
itself; with a mirror workers need no common run folder.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from robustbench_cv.errors import RobustBenchError, UserError
from robustbench_cv.models.optional_import import need
from robustbench_cv.runner.executor import Done, Group, Queue, WorkOrder


@dataclass(frozen=True)
class RayExecutor:
    """workers: actors. address: of the cluster; None starts one on this machine, or joins the one that RAY_ADDRESS names. memory_gb: that
    each worker asks the cluster for, 0 for none."""

    workers: int
    address: str | None = None
    memory_gb: float = 0.0

    def compute(self, order: WorkOrder, groups: Sequence[Group], done: Callable[[Done], None]) -> None:
        """See `Executor`."""
        ray = need("ray", "--executor ray")
        started = not ray.is_initialized()
        if started:
            _connect(ray, self.address)
        team = _Team(ray, order, self._demand(order))
        queue = Queue(groups)
        try:
            for _ in range(min(self.workers, len(groups))):
                team.hire()
            while queue.running or not queue.is_empty:
                for name, message in team.messages():
                    self._act(team, queue, name, message, done)
        finally:
            team.dismiss()
            if started:
                ray.shutdown()

    def _act(self, team: _Team, queue: Queue, name: str, message: object, done: Callable[[Done], None]) -> None:
        if isinstance(message, RobustBenchError | OSError):
            raise message
        if isinstance(message, BaseException):
            queue.lose(name, str(message).splitlines()[0])
            team.forget(name)
            if not queue.is_empty:
                team.hire()
            return
        if message != "ready":
            queue.finish(name, str(message))
            done(Done(str(message)))
        group = queue.running.get(name) or queue.take(name)
        if group is not None:
            team.give(name, group.keys[0])

    def _demand(self, order: WorkOrder) -> dict[str, Any]:
        demand: dict[str, Any] = {"num_cpus": order.threads, "max_restarts": 0}
        if order.options.device.startswith("cuda"):
            demand["num_gpus"] = 1
        if self.memory_gb:
            demand["memory"] = int(self.memory_gb * 2**30)
        return demand


_ANSWER_SECONDS = 5.0
"""In which a cluster's port opens (project choice); Ray itself goes on asking for minutes."""


def _connect(ray: Any, address: str | None) -> None:
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"no Ray cluster answers at {address or 'this machine'}: {first}; start one with `ray start --head`") from error


class _Member:
    """The actor: a worker that tells what went wrong instead of raising it, since Ray wraps what is raised."""

    def __init__(self, order: WorkOrder) -> None:
        self.order = order
        self.worker: Any = None

    def start(self) -> object:
        from robustbench_cv.runner.worker import Worker

        return self._told(lambda: setattr(self, "worker", Worker(self.order)), "ready")

    def compute(self, key: str) -> object:
        return self._told(lambda: list(self.worker.compute([key])), key)

    def _told(self, do: Callable[[], object], result: str) -> object:
        from robustbench_cv.runner.local_executor import travelling

        try:
            do()
        except (RobustBenchError, OSError) as error:
            return travelling(error)
        return result


class _Team:
    """The actors by name, each with the call that it is at."""

    def __init__(self, ray: Any, order: WorkOrder, demand: dict[str, Any]) -> None:
        self._ray, self._order, self._hired = ray, order, 0
        self._kind = ray.remote(**demand)(_Member)
        self._members: dict[str, Any] = {}
        self._calls: dict[Any, str] = {}

    def hire(self) -> None:
        """One more actor, wherever the cluster has room for it."""
        name = f"worker {self._hired}"
        self._hired += 1
        self._members[name] = self._kind.remote(self._order)
        self._calls[self._members[name].start.remote()] = name

    def messages(self) -> list[tuple[str, object]]:
        """What has come: "ready", the key of a stored cell, or an exception: a worker's own, or Ray's where it is no more."""
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=1.0)
        found: list[tuple[str, object]] = []
        for call in ready:
            name = self._calls.pop(call)
            try:
                found.append((name, self._ray.get(call)))
            except self._ray.exceptions.RayError as error:
                found.append((name, error))
        return found

    def give(self, name: str, key: str) -> None:
        """One cell to compute."""
        self._calls[self._members[name].compute.remote(key)] = name

    def forget(self, name: str) -> None:
        """An actor that is lost."""
        del self._members[name]

    def dismiss(self) -> None:
        """End all."""
        for member in self._members.values():
            self._ray.kill(member)
