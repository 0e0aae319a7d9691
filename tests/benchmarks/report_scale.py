"""What reports of large runs cost: `python -m tests.benchmarks.report_scale [FOLDER]`.

Makes run folders of made-up records, then times, each in a process of its own, the numbers of 10 million classification records
(summary.csv, with intervals) and the whole report of 300,000 detection records (4 metrics, 75 conditions): with nothing kept from before,
and again with the numbers kept. Prints CPU seconds and the peak of memory; docs/performance.md has the figures.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy
import pyarrow

from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.hallucination import REPORTED
from robustbench_cv.record_store import RecordStore
from robustbench_cv.records import ATTACK, EVIDENCE, REFERENCE, to_table, write_table
from robustbench_cv.results import CellRow, DatasetRow, MetricRow, ModelRow, RunInfo, TrackRow
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner.run_facts import condition_facts
from robustbench_cv.suite import CLEAN, Condition
from robustbench_cv.tasks import Task
from robustbench_cv.types import Labels
from tests.benchmarks import interval_coverage as worlds

CLASSES = ("car", "boat", "cow", "person", "chair")


def conditions(attacks: int, edits: int) -> tuple[Condition, ...]:
    """Clean, so many budgets of one attack, and so many edits, each with its placebo."""
    attacked = [Condition(f"pgd {k}", attack=f"pgd(eps={k}/255)", curve="pgd", severity=k / 255) for k in range(1, attacks + 1)]
    shares = [(k + 1) / (edits + 1) for k in range(edits)]
    edited = [Condition(f"occluded {s:.0%}", (f"occlude(share={s:.3f})",), curve="occluded", severity=s) for s in shares]
    placebos = [Condition(f"{c.name} control", (c.interventions[0].replace("(", "-control(", 1),), control_of=c.name) for c in edited]
    return CLEAN, *attacked, *edited, *placebos


def make(
    folder: Path, task: Task, models: int, images: int, every: tuple[Condition, ...], metrics: tuple[str, ...], reports: tuple[str, ...]
) -> None:
    """A run's folder: run.json, and a file of records for each condition of each model."""
    files = RunFolder(folder)
    names = tuple(f"model-{k}" for k in range(models))
    cells = tuple(
        CellRow(f"{task}-{m}-{i}", task, name, "made-up", c.name, images) for m, name in enumerate(names) for i, c in enumerate(every)
    )
    built = {name: METRICS.build(name, labels=Labels(CLASSES), operating_score=0.25) for name in metrics}
    rows = tuple(MetricRow.of(name, metric) for name, metric in built.items())
    run = RunInfo(
        suite="scale",
        version=1,
        seed=0,
        command="",
        created="",
        device="cpu",
        versions={},
        code_sha256="",
        tracks=(TrackRow(task, names, ("made-up",), every, rows, {c.name: condition_facts(c) for c in every}),),
        models=tuple(ModelRow(name, "lenet5", task, CLASSES, 1, "", 0.25) for name in names),
        datasets=(DatasetRow("made-up", "scenes", task, images, ""),),
        pairings=(),
        cells=cells,
        reports=reports,
    )
    folder.mkdir(parents=True, exist_ok=True)
    files.run_info.write_bytes(msgspec.json.encode(run))
    evidence = {"classification": _right, "detection": _found}[task]
    for cell, condition in zip(cells, every * models, strict=True):
        rng = numpy.random.default_rng([int(cell.model[6:]), every.index(condition)])
        write_table(RecordStore(files).part(cell), _table(cell, condition, images, evidence(rng, images, condition)), [cell.key])


def _table(cell: CellRow, condition: Condition, n: int, evidence: dict[str, pyarrow.Array]) -> pyarrow.Table:
    kinds = {name.partition(".")[2]: column.type for name, column in evidence.items() if name.startswith(EVIDENCE)}
    same = {"cell": cell.key, "suite": "scale", "suite_version": 1, "task": cell.task, "model": cell.model, "dataset": cell.dataset}
    same |= {"condition": cell.condition, "seed": 0, "status": "ok", "reason": "", "reason_code": "", "excluded": []}
    if condition.attack:
        size = condition.severity or 0.0
        attack = {"success": True, "size": size, "radius": size, "forwards": 11, "backwards": 10, "zero_grads": 0.0, "ssim": 0.9}
        same |= {ATTACK + name: value for name, value in attack.items()}
    columns = {}
    for field in to_table([], kinds).schema:
        if field.name in evidence:
            columns[field.name] = evidence[field.name]
        elif field.name == "sample":
            columns[field.name] = pyarrow.array([f"made-up/{i:08d}" for i in range(n)])
        else:
            value = pyarrow.array([same.get(field.name)], field.type)
            columns[field.name] = value.take(pyarrow.array(numpy.zeros(n, dtype=numpy.int64)))
    return pyarrow.table(columns)


def _right(rng: numpy.random.Generator, n: int, condition: Condition) -> dict[str, pyarrow.Array]:
    return {f"{EVIDENCE}top-1": worlds.classifier(rng, n, shifts=(-10 * (condition.severity or 0.0),), noise=0.3)[0]}


def _found(rng: numpy.random.Generator, n: int, condition: Condition) -> dict[str, pyarrow.Array]:
    shifts = (-(condition.severity or 0.0), 0.0)[: 2 if condition.interventions else 1]
    columns: dict[str, pyarrow.Array] = {}
    for prefix, boxes, objects in zip(
        (EVIDENCE, REFERENCE), worlds.detector(rng, n, shifts=shifts), worlds.objects(rng, n, shifts=shifts), strict=False
    ):
        held = pyarrow.ListArray.from_arrays(*_one_each(rng, n))
        seen = pyarrow.ListArray.from_arrays(
            held.offsets,
            pyarrow.StructArray.from_arrays(
                [held.values, held.values.cast(pyarrow.int64())], fields=list(REPORTED.field("seen").type.value_type)
            ),
        )
        reported = pyarrow.StructArray.from_arrays([seen, held, held, pyarrow.array(numpy.ones(n))], fields=list(REPORTED))
        columns |= {f"{prefix}coco": boxes, f"{prefix}boxes@0.25": objects}
        columns |= {f"{prefix}hallucination-rate@0.25": pyarrow.array(rng.random(n) < 0.1), f"{prefix}reports@0.25": reported}
    return columns


def _one_each(rng: numpy.random.Generator, n: int) -> tuple[pyarrow.Array, pyarrow.Array]:
    return pyarrow.array(numpy.arange(n + 1, dtype=numpy.int32)), pyarrow.array(rng.integers(1, len(CLASSES), n).astype(numpy.int32))


SUMMARY = """
import sys
from pathlib import Path
from robustbench_cv.rendering.write_report import summary_csv
from robustbench_cv.results import Results
results = Results.open(Path(sys.argv[1]))
lines = summary_csv(results).count("\\n")
results.save_estimates()
print(lines - 1, "numbers;", end=" ")
"""

REPORT = """
import sys
from robustbench_cv.cli import main
main(["report", sys.argv[1]])
"""


def timed(what: str, code: str, folder: Path) -> None:
    """Run code on a folder in a process of its own, and print what it cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = "import resource, atexit\natexit.register(lambda: print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))\n"
    done = subprocess.run([sys.executable, "-c", report + code, str(folder)], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 4):
        sys.exit(done.stderr)
    said, peak = done.stdout.rpartition("PEAK")[::2]
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    numbers = said.strip() if "numbers" in said else ""
    print(f"{what}: {numbers} {seconds:.1f} s of CPU, {int(peak) / 2**20:.2f} GB at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the run folders are made; a temporary one unless given")
    parser.add_argument("--part", type=float, default=1.0, help="share of the full number of images")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = asked.folder or Path(temporary)
        wide, deep = root / "classification", root / "detection"
        reports = ("overview", "main-table", "context-sensitivity", "budget-curve", "occlusion-curve", "checks", "protocol")
        if not wide.exists():
            make(wide, "classification", 4, int(50_000 * asked.part), conditions(49, 0), ("top-1",), ("main-table",))
        if not deep.exists():
            metrics = ("ap", "ap50", "hallucination-rate", "fabricated-per-image")
            make(deep, "detection", 1, int(4_000 * asked.part), conditions(26, 24), metrics, reports)
        for kept in ("", ", again"):
            timed(f"summary of {int(10_000_000 * asked.part):,} classification records{kept}", SUMMARY, wide)
            timed(f"report of {int(300_000 * asked.part):,} detection records{kept}", REPORT, deep)


if __name__ == "__main__":
    main()
