"""Who computes a run's cells: this process, worker processes of this machine, or a Ray cluster. All leave the same files.

A worker plans the run again for itself and computes the cells that it is told by key, so that nothing but names travels. Cells that must
follow one another (a warm curve's larger budgets, those of one fitted attack) are one group and go to one worker in their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from robustbench_cv.errors import UserError
from robustbench_cv.runner.planned_cells import Options, Plan, PlannedCell
from robustbench_cv.suite import Suite

MOST_TRIES = 3
"""Workers that may die over one group of cells before the run gives up (project choice)."""


_STARTING = "planning the run"
"""What a worker does that was given no cell yet."""


class Done(NamedTuple):
    """A cell that is stored, by its key."""

    key: str


class Executor(Protocol):
    """Computes cells and stores them in the run folder; tells each as soon as it is there, in any order."""

    def compute(self, order: WorkOrder, groups: Sequence[Group], done: Callable[[Done], None]) -> None:
        """Raises what a cell raised (UserError, ForeignError), and OSError where workers keep dying."""
        ...


@dataclass(frozen=True)
class WorkOrder:
    """What a worker needs to plan the same run. directory: which relative paths in specs start from. threads: of each worker's torch."""

    suite: Suite
    options: Options
    folder: str
    directory: str
    plugins: tuple[str, ...] = ()
    threads: int = 1

    def on(self, device: str) -> WorkOrder:
        """The same on another device."""
        return replace(self, options=replace(self.options, device=device))


@dataclass(frozen=True)
class Group:
    """Cells for one worker, in this order. spec: of their model, which a worker that has it alive goes on with."""

    spec: str
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.keys[0]


class Queue:
    """Groups that wait. A worker gets one of the model that it has alive, else one of the model that fewest others are at."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.running: dict[str, Group] = {}
        self._alive: dict[str, str] = {}
        self._tries: dict[str, int] = {}
        self._waiting: dict[str, deque[Group]] = {}
        for group in groups:
            self._waiting.setdefault(group.spec, deque()).append(group)

    @property
    def is_empty(self) -> bool:
        """Whether no group waits; some may be running."""
        return not self._waiting

    def take(self, worker: str) -> Group | None:
        """The next group for a worker, by its name; None where none waits."""
        if self.is_empty:
            return None
        others = [spec for name, spec in self._alive.items() if name != worker]
        own = self._alive.get(worker)
        spec = own if own in self._waiting else min(self._waiting, key=others.count)
        group = self._waiting[spec].popleft()
        if not self._waiting[spec]:
            del self._waiting[spec]
        self.running[worker], self._alive[worker] = group, spec
        return group

    def finish(self, worker: str, key: str) -> None:
        """One of the worker's cells is stored."""
        group = self.running[worker]
        left = tuple(k for k in group.keys if k != key)
        if left:
            self.running[worker] = replace(group, keys=left)
        else:
            del self.running[worker]

    def lose(self, worker: str, how: str) -> None:
        """The worker died: what it had not stored goes to another. OSError where too many died over the same cells."""
        self._alive.pop(worker, None)
        group = self.running.pop(worker, None)
        over = _STARTING if group is None else f"the same cell ({group.name}, of {group.spec})"
        self._tries[over] = self._tries.get(over, 0) + 1
        if self._tries[over] >= MOST_TRIES:
            raise OSError(
                f"{MOST_TRIES} workers died over {over}, the last: {how}. What is stored stays; run the same command without --workers to "
                "see what the model does there"
            )
        if group is not None:
            self._waiting.setdefault(group.spec, deque()).appendleft(group)


def groups_of(cells: Iterable[PlannedCell]) -> list[Group]:
    """The cells in groups: each alone, but with those whose records or whose fit it takes over."""
    found: dict[str, list[PlannedCell]] = {}
    place: dict[str, str] = {}
    for cell in cells:
        chain = place.get(cell.base.key) if cell.base is not None else None
        name = chain or (f"fit {cell.fit.key}" if cell.fit is not None and cell.fit.data is not None else cell.row.key)
        found.setdefault(name, []).append(cell)
        place[cell.row.key] = name
    return [Group(cells[0].pair.row.spec, tuple(c.row.key for c in cells)) for cells in found.values()]


def work_order(plan: Plan, folder: str, directory: str, plugins: Sequence[str], threads: int) -> WorkOrder:
    """UserError where something of the run cannot be told to another process: a model that was handed over built."""
    built = [model for model in plan.options.models if not isinstance(model, str)]
    if built:
        raise UserError(
            f"model {built[0].info.name!r} was handed over built, and workers build their own: give a spec such as 'file.py:factory', "
            "or leave workers at 1"
        )
    return WorkOrder(plan.suite, plan.options, folder, directory, tuple(plugins), threads)
