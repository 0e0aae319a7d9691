"""A whole run: plan, check, compute the cells that are missing, check again, publish. The same call again does only what is left."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from robustbench_cv import __version__
from robustbench_cv.batching import BatchSize
from robustbench_cv.catalogue import CHECKS, SUITES
from robustbench_cv.checks.check import Aftermath
from robustbench_cv.checks.doctor import check_names
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.files import write_json
from robustbench_cv.findings import Finding
from robustbench_cv.gates import judge
from robustbench_cv.predictions import to_coco
from robustbench_cv.records import write_part
from robustbench_cv.results import Results, RunInfo, read_run
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner import pictures
from robustbench_cv.runner.cell import CellOutput, run_cell
from robustbench_cv.runner.complexity import stored_complexity
from robustbench_cv.runner.dependencies import Dependencies
from robustbench_cv.runner.job import blank_record, build_job
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.planned import Options, Plan, PlannedCell
from robustbench_cv.runner.preflight import stored_preflight
from robustbench_cv.runner.progress_bar import Progress, silent
from robustbench_cv.runner.strength import stored_strength
from robustbench_cv.suite import Suite, read_suite
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


def find_suite(name: str) -> Suite:
    """A suite by registered name or YAML file."""
    return read_suite(Path(name)) if name.endswith((".yaml", ".yml")) else SUITES.build(name)


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
    folder = RunFolder(out)
    plan = make_plan(suite, options)
    for pairing in plan.pairings():
        announce(pairing.class_map)
    info = _run_info(plan, command, folder)
    findings = [f for pair in plan.pairs for f in stored_preflight(folder, pair, options.device, plan.reader)]
    _announce(findings, announce)
    stopped = {(f.model, f.dataset) for f in findings if f.verdict == "stop"}
    write_json(folder.run_info, info)
    wanted = [c for c in plan.cells if (c.row.model, c.row.dataset) not in stopped]
    missing = [c for c in wanted if not folder.done(c.row.key)]
    _compute(plan, missing, folder, progress)
    _merge_predictions(folder, plan)
    strengths = stored_strength(folder, plan)
    _announce(strengths, announce)
    findings += strengths

    models = {p.row.name: p.model for p in plan.pairs}
    before = dataclasses.replace(Results.open(out), findings=tuple(findings))
    findings += [f for name in check_names("after") for f in CHECKS.build(name)(Aftermath(before, models, options.device))]
    write_json(folder.findings, findings)
    results = Results.open(out)
    return Outcome(results, len(missing), len(wanted) - len(missing), results.report(out))


def _announce(findings: Sequence[Finding], announce: Callable[[str], None]) -> None:
    for finding in findings:
        if finding.verdict in ("stop", "warn"):
            where = ", ".join(part for part in (f"{finding.model} on {finding.dataset}", finding.condition) if part)
            announce(f"{finding.verdict.upper()} {finding.check} {finding.title} ({where}): {finding.evidence}; {finding.remedy}")


def _compute(plan: Plan, cells: Sequence[PlannedCell], folder: RunFolder, progress: Callable[[int], Progress]) -> None:
    batch_size = BatchSize(plan.options.batch_size)
    with progress(sum(c.row.n for c in cells)) as bar:
        for cell in cells:
            bar.describe(f"{cell.row.model} · {cell.row.condition}")
            started = time.perf_counter()
            output = _output(plan, cell, batch_size, folder)
            _store_cell(folder, cell, output)
            write_json(folder.timing(cell.row.key), {"seconds": round(time.perf_counter() - started, 3), "n": cell.row.n})
            bar.advance(cell.row.n)


def _output(plan: Plan, cell: PlannedCell, batch_size: BatchSize, folder: RunFolder) -> CellOutput:
    """The cell, or where the model gives an attack nothing to follow or to be fitted by, a record of each sample that says so."""
    try:
        return run_cell(build_job(plan, cell, batch_size, folder))
    except NotApplicable as reason:
        ids = [cell.pair.dataset.ids[i] for i in cell.indices]
        blank = blank_record(plan, cell)
        rows = [dataclasses.replace(blank, sample=id_, status="not-applicable", reason=str(reason)) for id_ in ids]
        return CellOutput(rows, [], {})


def _store_cell(folder: RunFolder, cell: PlannedCell, output: CellOutput) -> None:
    """Everything beside the records first: a part that exists vouches for the rest."""
    key, row = cell.row.key, cell.pair.row
    pictures.save(folder.images(key), output.shots, row.operating_score)
    if row.task == "detection":
        entries = [e for id_, p in output.predictions.items() if isinstance(p, BoxPrediction) for e in to_coco(id_, p, row.classes)]
        write_json(folder.cell_predictions(key), entries)
    write_part(folder.part(key), output.records)


def _merge_predictions(folder: RunFolder, plan: Plan) -> None:
    """One COCO results file for each detector, data set and condition, of its cells' files."""
    import msgspec

    merged: dict[str, list[object]] = {}
    for cell in plan.cells:
        path = folder.cell_predictions(cell.row.key)
        if path.exists():
            name = f"{cell.row.model}--{cell.row.dataset}--{cell.row.condition}"
            merged.setdefault(name, []).extend(msgspec.json.decode(path.read_bytes()))
    for name, entries in merged.items():
        write_json(folder.predictions(name), entries)


def _run_info(plan: Plan, command: str, folder: RunFolder) -> RunInfo:
    """run.json's content; the time of creation is that of the first call that planned the same."""
    info = RunInfo(
        suite=plan.suite.name,
        version=plan.suite.version,
        seed=plan.suite.seed,
        command=command,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        device=_device_name(plan.options.device),
        versions=_versions(plan.code),
        code_sha256=plan.code.code_sha256,
        tracks=plan.tracks,
        models=tuple({p.row.name: p.row for p in plan.pairs}.values()),
        datasets=tuple({(p.dataset_row.name, p.row.task): p.dataset_row for p in plan.pairs}.values()),
        pairings=plan.pairings(),
        cells=tuple(c.row for c in plan.cells),
        gates=plan.suite.gates,
        reports=plan.suite.reports,
        notes=tuple(dict.fromkeys([*plan.options.notes, *(note for p in plan.pairs for note in p.class_map.notes)])),
        complexity=tuple(stored_complexity(folder, p, plan.options.device, plan.reader) for p in plan.pairs),
    )
    if folder.run_info.exists():
        import msgspec

        earlier = read_run(folder.root)
        same = msgspec.structs.replace(info, created=earlier.created, command=earlier.command)
        if same == earlier:
            return earlier
    return info


def _versions(code: Dependencies) -> dict[str, str]:
    """Of this package and of those that its numbers come from; what is not installed is left out."""
    return {"robustbench-cv": __version__} | {name: version for name, version in code.distributions.items() if version}


def _device_name(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


def choose_device(asked: str) -> str:
    """ "auto": the GPU where there is one. UserError for a device that torch does not have here."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {asked}: not to be had here ({error}); use cpu or auto") from error
    return asked
