"""What a run will take, before it is made: a few samples of every cell's kind, timed, and what they left on the disk."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robustbench_cv.batching import BatchSize
from robustbench_cv.kept_files import read_kept
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner.model_pool import by_model
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.planned_cells import Options, Plan
from robustbench_cv.runner.progress_bar import Progress, silent
from robustbench_cv.runner.stored_cell import compute_cell
from robustbench_cv.suite import Suite

SAMPLES = 4
"""Of each model, data set and condition (project choice)."""

_GROWING = "records"
"""The folder whose files grow with the samples; pictures are of a few samples, however many there are."""


@dataclass(frozen=True)
class Kind:
    """A model on a data set under a condition: seconds that one of its samples takes, and how many it will have."""

    model: str
    dataset: str
    condition: str
    seconds: float
    n: int


@dataclass(frozen=True)
class CostEstimate:
    """kinds: every model, data set and condition. cells: of the whole run. disk: bytes. workers: that share the work.

    The reports and the checks before and after come on top: they do not grow with the samples, or hardly.
    """

    kinds: Sequence[Kind]
    cells: int
    disk: int
    workers: int = 1

    @property
    def seconds(self) -> float:
        """Of all cells, where the workers are always busy."""
        return sum(kind.seconds * kind.n for kind in self.kinds) / self.workers

    def in_words(self, most: int = 5) -> list[str]:
        """Lines for people: the time, the disk, and what takes most of the time."""
        dearest = sorted(self.kinds, key=lambda kind: -kind.seconds * kind.n)[:most]
        whole = sum(kind.seconds * kind.n for kind in self.kinds) or 1.0
        lines = [
            f"about {duration(self.seconds)} for {self.cells:,} cells{f' on {self.workers} workers' if self.workers > 1 else ''}, and "
            f"{self.disk / 2**20:,.0f} MiB, by {SAMPLES} samples of each kind; checks and report come on top",
            "most of it:",
        ]
        return lines + [
            f"  {k.seconds * k.n / whole:4.0%}  {k.model} on {k.dataset} · {k.condition}: {1000 * k.seconds:,.0f} ms a sample"
            for k in dearest
        ]


def duration(seconds: float) -> str:
    """As people say it.

    >>> duration(42), duration(600), duration(7300), duration(200_000)
    ('42 s', '10 min', '2.0 h', '2.3 days')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def estimate_cost(suite: Suite, options: Options, progress: Callable[[int], Progress] = silent) -> CostEstimate:
    """Run a few samples of every kind in a folder that is thrown away. UserError as a run's."""
    whole = make_plan(suite, options)
    few = dataclasses.replace(options, limit=min(options.limit or SAMPLES, SAMPLES), workers=1, executor="local")
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place))
        small = make_plan(suite, few, folder)
        batch_size = BatchSize(few.batch_size)
        with progress(len(small.cells)) as bar:
            for cell in by_model(small.cells, lambda c: c.pair.row.spec):
                bar.describe(f"a few samples of {cell.row.model} · {cell.row.condition}")
                _ = cell.pair.model  # built, and not a part of the first cell's time
                compute_cell(small, cell, batch_size, folder)
                bar.advance(1)
        timed = {cell.row.key: _seconds(folder, cell.row.key) for cell in small.cells}
        grown, fixed = _bytes(folder)
    return extrapolated(whole, small, timed, grown, fixed)


def extrapolated(whole: Plan, small: Plan, timed: Mapping[str, float], grown: int, fixed: int) -> CostEstimate:
    """The whole run by the timed part. timed: seconds by a cell's key. grown: bytes that grow with the samples; fixed: all others."""
    seconds: dict[tuple[str, str, str], float] = defaultdict(float)
    seen: Counter[tuple[str, str, str]] = Counter()
    wanted: Counter[tuple[str, str, str]] = Counter()
    for cell in small.cells:
        kind = (cell.row.model, cell.row.dataset, cell.row.condition)
        seconds[kind] += timed[cell.row.key]
        seen[kind] += cell.row.n
    for cell in whole.cells:
        wanted[cell.row.model, cell.row.dataset, cell.row.condition] += cell.row.n
    kinds = [Kind(*kind, seconds[kind] / max(1, seen[kind]), n) for kind, n in wanted.items()]
    share = sum(wanted.values()) / max(1, sum(seen.values()))
    return CostEstimate(kinds, len(whole.cells), round(grown * share) + fixed, max(1, whole.options.workers))


def _seconds(folder: RunFolder, key: str) -> float:
    """OSError where what was written a moment ago cannot be read."""
    kept: dict[str, float] | None = read_kept(folder.timing(key), dict[str, float])
    if kept is None:
        raise OSError(f"{folder.timing(key)} was written a moment ago and cannot be read")
    return kept["seconds"]


def _bytes(folder: RunFolder) -> tuple[int, int]:
    """Of the files that grow with the samples, and of all others."""
    sizes = {path: path.stat().st_size for path in folder.root.rglob("*") if path.is_file()}
    grown = sum(size for path, size in sizes.items() if path.relative_to(folder.root).parts[0] == _GROWING)
    return grown, sum(sizes.values()) - grown
