"""What a cell costs beside its model's work, what a worker costs before its first cell, and what follows for 1, 8 and 64 workers.

`python -m tests.benchmarks.executor_scale` runs cells of next to no work in one process and in two workers, and lets the run's own queue
deal out the cells of ImageNet's validation set (50,000 images, 75 conditions, 20 models) at the costs that it measured.
"""

from __future__ import annotations

import argparse
import heapq
import resource
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from robustbench_cv.runner.executor import Group, Queue
from robustbench_cv.runner.plan import SHARD
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

IMAGES, CONDITIONS, MODELS = 50_000, 75, 20


class Costs(NamedTuple):
    """Seconds. cell: of one without work, in a run. worker: of a run's two workers more than one process, to the end of the first cells."""

    cell: float
    worker: float


def suite_of(conditions: int) -> Suite:
    """Cells of one sample."""
    edits = tuple(Condition(f"rotated {k}", (f"rotate(degrees={k / 10})",)) for k in range(1, conditions))
    track = Track("classification", ("lenet5.scenes",), ("scenes(samples=1)",), (CLEAN, *edits), ("top-1",))
    return Suite("overhead", 1, (track,), reports=("protocol",), strength=0)


def seconds(conditions: int, workers: int) -> float:
    """Of a whole run."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run_suite(suite_of(conditions), Path(folder), Options(placebos=False, workers=workers))
        return time.perf_counter() - started


def measured(few: int, many: int) -> Costs:
    """The slope over the number of cells, and what two workers add to a run of few."""
    seconds(few, 1)  # imports and first touches
    one, more = seconds(few, 1), seconds(many, 1)
    return Costs((more - one) / (many - few), seconds(few, 2) - one)


def makespan(workers: int, work: float, costs: Costs) -> float:
    """Seconds until the last cell is stored, as the run's queue deals them out. work: of the model in one cell."""
    shards = -(-IMAGES // SHARD)
    groups = [Group(f"m{m}", (f"{m}/{c}/{s}",)) for m in range(MODELS) for c in range(CONDITIONS) for s in range(shards)]
    queue = Queue(groups)
    free = [(costs.worker, f"worker {k}") for k in range(workers)]
    end = 0.0
    while not queue.is_empty:
        now, name = heapq.heappop(free)
        group = queue.take(name)
        assert group is not None
        end = max(end, now + work + costs.cell)
        queue.finish(name, group.name)
        heapq.heappush(free, (now + work + costs.cell, name))
    return end


def main() -> None:
    """Print the costs, then hours and efficiency by the work of a cell and the number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=4)
    parser.add_argument("--many", type=int, default=44)
    asked = parser.parse_args()
    costs = measured(asked.few, asked.many)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"a cell without work: {1000 * costs.cell:.0f} ms; two workers, before their first cells: {costs.worker:.1f} s; ", end="")
    print(f"memory of a worker at its largest: {memory:.2f} GiB; cells of {SHARD} samples")
    print("| work of a cell, s | overhead | 1 worker, h | 8 workers, h | 64 workers, h | efficiency at 64 |\n|" + " ---: |" * 6)
    for work in (1.0, 10.0, 60.0):
        spans = [makespan(workers, work, costs) for workers in (1, 8, 64)]
        hours = " | ".join(f"{span / 3600:,.1f}" for span in spans)
        print(f"| {work:g} | {costs.cell / work:.1%} | {hours} | {spans[0] / 64 / spans[2]:.1%} |")


if __name__ == "__main__":
    main()
