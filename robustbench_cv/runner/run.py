"""A whole run: plan, check, compute the cells that are missing, check again, publish. The same call again does only what is left."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.checks.check import AfterRun
from robustbench_cv.checks.doctor import check_names
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.files import write_json
from robustbench_cv.findings import Finding
from robustbench_cv.gates import judge
from robustbench_cv.predictions import to_coco
from robustbench_cv.records import write_part
from robustbench_cv.rendering.publish import publish
from robustbench_cv.results import Results, RunInfo, read_run
from robustbench_cv.runner import saved_images
from robustbench_cv.runner.batches import BatchSize
from robustbench_cv.runner.cell import CellOutput, run_cell
from robustbench_cv.runner.complexity import stored_complexity
from robustbench_cv.runner.fingerprint import code_sha256, versions
from robustbench_cv.runner.plan import Options, Plan, PlannedCell, blank_record, build_job, make_plan
from robustbench_cv.runner.preflight import stored_preflight
from robustbench_cv.runner.progress import Progress, silent
from robustbench_cv.runner.run_facts import architecture, with_facts
from robustbench_cv.runner.store import Store
from robustbench_cv.runner.strength import stored_strength
from robustbench_cv.suite import Suite
from robustbench_cv.types import BoxPrediction

EXIT_PASS, EXIT_REGRESSION, EXIT_USAGE, EXIT_INCONCLUSIVE, EXIT_CHECK, EXIT_INFRASTRUCTURE = range(6)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished run. computed: cells that this call made; reused: those that were there. written: the report's files."""

    results: Results
    computed: int
    reused: int
    written: Sequence[Path]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 a gate failed, 3 a gate is inconclusive, 4 a check said stop."""
        if any(f.verdict == "stop" for f in self.results.findings):
            return EXIT_CHECK
        outcomes = {v.outcome for v in judge(self.results)}
        return EXIT_REGRESSION if "fail" in outcomes else EXIT_INCONCLUSIVE if "inconclusive" in outcomes else EXIT_PASS


def run_suite(
    suite: Suite,
    out: Path,
    options: Options,
    *,
    command: str = "",
    progress: Callable[[int], Progress] = silent,
    announce: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Run a suite into a folder and publish its reports. Cells whose key is in the folder already are not computed again.

    announce gets lines for people (class mappings, findings). Raises UserError for what the user can fix.
    """
    store = Store(out)
    plan = make_plan(suite, options)
    for pair in plan.pairs:
        announce(f"{pair.row.name} on {pair.dataset_row.name}: {pair.class_map.summary()}")
    info = _run_info(plan, command, store)
    findings = [f for pair in plan.pairs for f in stored_preflight(store, pair, options.device, skip_bad=options.skip_bad)]
    _announce(findings, announce)
    stopped = {(f.task, f.model, f.dataset) for f in findings if f.verdict == "stop"}
    write_json(out / "run.json", info)
    wanted = [c for c in plan.cells if (c.row.task, c.row.model, c.row.dataset) not in stopped]
    missing = [c for c in wanted if not store.done(c.row.key)]
    _compute(plan, missing, store, progress)
    _merge_predictions(store, plan)
    strengths = stored_strength(store, plan)
    _announce(strengths, announce)
    findings += strengths

    typed = {*suite.reports, *(m for track in suite.tracks for m in track.metrics)}
    models = {(p.row.task, p.row.name): p.model for p in plan.pairs}
    before = dataclasses.replace(Results.open(out, typed), findings=tuple(findings))
    findings += [f for name in check_names("after") for f in CHECKS.build(name)(AfterRun(before, models, options.device))]
    write_json(out / "findings.json", findings)
    results = Results.open(out, typed)
    return Outcome(results, len(missing), len(wanted) - len(missing), publish(results, out, results.run.reports))


def _announce(findings: Sequence[Finding], announce: Callable[[str], None]) -> None:
    for finding in findings:
        if finding.verdict in ("stop", "warn"):
            where = ", ".join(part for part in (f"{finding.model} on {finding.dataset}", finding.condition) if part)
            announce(f"{finding.verdict.upper()} {finding.check} {finding.title} ({where}): {finding.evidence}; {finding.remedy}")


def _compute(plan: Plan, cells: Sequence[PlannedCell], store: Store, progress: Callable[[int], Progress]) -> None:
    batch_size = BatchSize(plan.options.batch_size)
    with progress(sum(c.row.n for c in cells)) as bar:
        for cell in cells:
            bar.describe(f"{cell.row.model} · {cell.row.condition}")
            started = time.perf_counter()
            output = _output(plan, cell, batch_size, store)
            _store_cell(store, cell, output)
            write_json(store.timing(cell.row.key), {"seconds": round(time.perf_counter() - started, 3), "n": cell.row.n})
            bar.advance(cell.row.n)


def _output(plan: Plan, cell: PlannedCell, batch_size: BatchSize, store: Store) -> CellOutput:
    """The cell, or where the model gives an attack nothing to follow or to be fitted by, a record of each sample that says so."""
    try:
        return run_cell(build_job(plan, cell, batch_size, store))
    except NotApplicable as reason:
        ids = [cell.pair.dataset.ids[i] for i in cell.indices]
        blank = blank_record(plan, cell)
        rows = [dataclasses.replace(blank, sample=id_, status="not-applicable", reason=str(reason), reason_code=reason.code) for id_ in ids]
        return CellOutput(rows, [], {})


def _store_cell(store: Store, cell: PlannedCell, output: CellOutput) -> None:
    """Everything beside the records first: a part that exists vouches for the rest."""
    key, row = cell.row.key, cell.pair.row
    saved_images.save(store.images(key), output.shots, row.operating_score)
    if row.task == "detection":
        entries = [e for id_, p in output.predictions.items() if isinstance(p, BoxPrediction) for e in to_coco(id_, p, row.classes)]
        write_json(store.predictions(key), entries)
    write_part(store.part(key), output.records)


def _merge_predictions(store: Store, plan: Plan) -> None:
    """One COCO results file for each detector, data set and condition, of its cells' files."""
    merged: dict[str, list[object]] = {}
    for cell in plan.cells:
        path = store.predictions(cell.row.key)
        if path.exists():
            name = f"{cell.row.model}--{cell.row.dataset}--{cell.row.condition}"
            merged.setdefault(_file_name(name), []).extend(msgspec.json.decode(path.read_bytes()))
    for name, entries in merged.items():
        write_json(store.folder / "predictions" / f"{name}.json", entries)


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in text)


def _run_info(plan: Plan, command: str, store: Store) -> RunInfo:
    """run.json's content; the time of creation is that of the first call that planned the same."""
    info = RunInfo(
        suite=plan.suite.name,
        version=plan.suite.version,
        seed=plan.suite.seed,
        command=command,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        device=_device_name(plan.options.device),
        versions=versions(),
        code_sha256=code_sha256(),
        tracks=tuple(with_facts(track) for track in plan.tracks),
        models=tuple({(p.row.task, p.row.name): p.row for p in plan.pairs}.values()),
        datasets=tuple({(p.dataset_row.name, p.row.task): p.dataset_row for p in plan.pairs}.values()),
        pairings=plan.pairings(),
        cells=tuple(c.row for c in plan.cells),
        gates=plan.suite.gates,
        reports=plan.suite.reports,
        notes=tuple(dict.fromkeys([*plan.options.notes, *(note for p in plan.pairs for note in p.class_map.notes)])),
        complexity=tuple(stored_complexity(store, p, plan.options.device) for p in plan.pairs),
        architectures=tuple(architecture(spec) for spec in dict.fromkeys(p.row.spec for p in plan.pairs)),
    )
    earlier = _earlier(store.folder)
    if earlier is None:
        return info
    same = msgspec.structs.replace(info, created=earlier.created, command=earlier.command)
    return earlier if same == earlier else info


def _earlier(folder: Path) -> RunInfo | None:
    """The run.json that is there; None where there is none, or where another version wrote it: then it is written anew."""
    try:
        return read_run(folder)
    except UserError:
        return None


def _device_name(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


def choose_device(asked: str, *, meta: bool = False) -> str:
    """ "auto": the GPU where there is one. UserError for a device that torch does not have here. meta: nothing is to be computed."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("meta") and not meta:
        raise UserError(f"--device {asked} holds no numbers, so nothing can be computed on it; use cpu, cuda or auto")
    try:
        torch.empty(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), *(["mps"] if torch.backends.mps.is_available() else [])]
        raise UserError(f"--device {asked}: not to be had here; this machine has {', '.join(there)}, and auto chooses one") from error
    return asked
