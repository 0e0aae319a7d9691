"""A whole run: plan, check, compute the cells that are missing, check again, publish. The same call again does only what is left."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from robustbench_cv import __version__
from robustbench_cv.batching import BatchSize
from robustbench_cv.catalogue import CHECKS, plugins
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.allowed import allow
from robustbench_cv.checks.check import AfterRun
from robustbench_cv.checks.check_declarations import check_names, held
from robustbench_cv.data.source import HasNotes
from robustbench_cv.errors import Damaged, UserError, WrittenByNewer
from robustbench_cv.file_hashes import remembered_hashes, store_hashes
from robustbench_cv.files import write_json
from robustbench_cv.kept_files import read_kept, write_kept
from robustbench_cv.model_from_predictions import ClosedModel
from robustbench_cv.record_store import Place, RecordStore, place_of
from robustbench_cv.rendering.write_report import publish
from robustbench_cv.results import ComplexityRow, ExplanationRow, Results, RunInfo, read_run
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner import saved_images, saved_predictions
from robustbench_cv.runner.attack_verdicts import count_attacks, samples_to_try, stored_strength
from robustbench_cv.runner.cell_code import check_code
from robustbench_cv.runner.complexity import stored_complexity
from robustbench_cv.runner.cost_estimate import SAMPLES, duration, estimate_cost
from robustbench_cv.runner.dependencies import Dependencies
from robustbench_cv.runner.executor import Done, Executor, groups_of, work_order
from robustbench_cv.runner.explanations import stored_explanations
from robustbench_cv.runner.local_executor import LocalExecutor
from robustbench_cv.runner.mirror import Mirror, files_of
from robustbench_cv.runner.model_pool import ModelsByName, by_model
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.plan_text import missing_regions
from robustbench_cv.runner.planned_cells import Options, Pair, Plan, PlannedCell
from robustbench_cv.runner.preflight import stored_preflight
from robustbench_cv.runner.progress_bar import Progress, silent
from robustbench_cv.runner.ray_executor import RayExecutor
from robustbench_cv.runner.run_facts import architecture, environment, licences, limits, with_facts
from robustbench_cv.runner.stored_cell import compute_cell
from robustbench_cv.runner.time_left import Kind, TimeLeft
from robustbench_cv.runner.universal_fit import is_damaged
from robustbench_cv.suite import Suite

logger = logging.getLogger(__name__)

TIMED_FROM = 200
"""Mean number of samples of a model under a condition from which a few of each are timed before a run begins (project choice): they are
then at most one in fifty of what the run computes."""


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
        return self.results.exit_code


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
    _earlier_info(folder)  # refused before anything is written
    with folder.lock(), remembered_hashes(folder.file_hashes, reread=options.reread):
        folder.remove_partial_files()
        if options.mirror:
            Mirror(options.mirror, folder).pull_all()
        try:
            outcome = _run(suite, folder, options, command, progress, announce)
            if options.mirror:
                Mirror(options.mirror, folder).push_all()
            return outcome
        finally:
            folder.remove_edited()


def _run(
    suite: Suite,
    folder: RunFolder,
    options: Options,
    command: str,
    progress: Callable[[int], Progress],
    announce: Callable[[str], None],
) -> Outcome:
    plan = make_plan(suite, options, folder)
    announce(f"writes {folder.root}/: records, pictures, report")  # not before: what cannot be planned writes nothing
    for pair in plan.pairs:
        announce(f"{pair.row.name} on {pair.dataset_row.name}: {pair.class_map.summary()}")
    for note in (*_data_notes(plan), *missing_regions(plan)):
        announce(f"NOTE {note}")
    info = _run_info(plan, command, folder)
    examined = {
        pair: allow(stored_preflight(folder, pair, options.device, plan.reader, skip_bad=options.skip_bad), options.allow)
        for pair in by_model(plan.pairs, lambda p: p.row.spec)
    }
    findings = [finding for pair in plan.pairs for finding in examined[pair]]
    _announce(findings, announce)
    going_on = {pair for pair, of_pair in examined.items() if not any(f.verdict == "stop" for f in of_pair)}
    wanted = [c for c in plan.cells if c.pair in going_on]
    missing = _missing(folder, wanted, skip_bad=options.skip_bad, save_predictions=options.save_predictions)
    if missing or info != _earlier_info(folder) or read_kept(folder.findings, tuple[Finding, ...]) is None:
        folder.remove_conclusions()
    write_json(folder.run_info, info)
    guessed = _announce_work(plan, missing, len(wanted), progress, announce)
    about_models = _compute(plan, missing, going_on, folder, progress, guessed)
    info = msgspec.structs.replace(info, complexity=about_models.complexity, explanations=about_models.explanations)
    folder.remove_edited()
    write_json(folder.run_info, info)
    RecordStore(folder).compact(c.row for c in wanted)
    _merge_predictions(folder, plan)
    with (progress if samples_to_try(plan) else silent)(count_attacks(plan)) as bar:
        strengths = allow(stored_strength(folder, plan, bar), options.allow)
    _announce(strengths, announce)
    findings += strengths

    plan.models.beside(())
    typed = {*suite.reports, *(m for track in suite.tracks for m in track.metrics)}
    before = dataclasses.replace(Results.open(folder.root, typed), findings=tuple(findings))
    after = AfterRun(before, ModelsByName(plan.models, info.models), options.device, plan.reader.of(check_code("after")).sha256)
    with progress(1) as bar:
        bar.describe("checks of what was measured")
        of_records = [f for name in check_names("after") for f in held(name, CHECKS.build(name)(after))]
        findings += allow(of_records, options.allow)
        write_kept(folder.findings, findings)
        bar.advance(1)
    with progress(1) as bar:
        bar.describe("report")
        results = Results.open(folder.root, typed)
        written = publish(results, folder.root, results.run.reports)
        bar.advance(1)
    return Outcome(results, len(missing), len(wanted) - len(missing), written)


def _missing(folder: RunFolder, cells: Sequence[PlannedCell], *, skip_bad: bool, save_predictions: bool) -> list[PlannedCell]:
    """The cells of which a file is not there, or not whole, and those with records that only --skip-bad makes, unless it is given.

    save_predictions: whether what was said of each sample must be there, too.
    """
    planned: dict[Place, list[PlannedCell]] = {}
    for cell in cells:
        planned.setdefault(place_of(cell.row), []).append(cell)
    done: set[str] = set()
    for place, those in planned.items():
        try:
            done |= _done(folder, those, skip_bad=skip_bad)
        except Damaged:
            RecordStore(folder).drop_damaged(place)
            done |= _done(folder, those, skip_bad=skip_bad)
    unsaved = {c.row.key for c in cells if save_predictions and c.row.task != "detection" and not saved_predictions.has_cell(folder, c)}
    return [c for c in cells if c.row.key not in done - unsaved or _has_damaged_files(folder, c)]


def _done(folder: RunFolder, cells: Sequence[PlannedCell], *, skip_bad: bool) -> set[str]:
    """The keys of the cells of one condition whose records are all there and stand. Damaged."""
    rows = RecordStore(folder).read([c.row for c in cells])
    skipped = zip(rows["cell"].to_pylist(), rows["status"].to_pylist(), rows["reason_code"].to_pylist(), strict=True)
    there: Counter[str] = Counter()
    refused: set[str] = set()
    for key, status, code in skipped:
        there[key] += 1
        if status == "failed" and code not in ("not-finite", "no-prediction") and not skip_bad:
            refused.add(key)
    return {c.row.key for c in cells if there[c.row.key] == c.row.n} - refused


def _has_damaged_files(folder: RunFolder, cell: PlannedCell) -> bool:
    """Whether what lies beside a cell's records cannot be read: its pictures, its detections, what its attack was fitted to."""
    key = cell.row.key
    if cell.row.task == "detection" and _entries(folder, key) is None:
        return True
    return not saved_images.is_whole(folder.images(key)) or (cell.fit is not None and is_damaged(folder, cell.fit))


def _entries(folder: RunFolder, key: str) -> list[dict[str, object]] | None:
    entries: list[dict[str, object]] | None = read_kept(folder.cell_predictions(key), list[dict[str, object]])
    return entries


def _announce(findings: Sequence[Finding], announce: Callable[[str], None]) -> None:
    for finding in findings:
        if finding.verdict in ("stop", "warn"):
            where = ", ".join(part for part in (f"{finding.model} on {finding.dataset}", finding.condition) if part)
            announce(f"{finding.verdict.upper()} {finding.check} {finding.title} ({where}): {finding.evidence}; {finding.remedy}")


class _AboutModels(NamedTuple):
    """What each model costs on its data, and where its answers come from."""

    complexity: tuple[ComplexityRow, ...]
    explanations: tuple[ExplanationRow, ...]


def _announce_work(
    plan: Plan, missing: Sequence[PlannedCell], wanted: int, progress: Callable[[int], Progress], announce: Callable[[str], None]
) -> Mapping[Kind, float]:
    """Say what is to be computed, and of a large run how long it will take; seconds that a sample of each kind takes, where timed."""
    kinds = _samples_of_kinds(missing)
    samples = sum(kinds.values())
    if not missing:
        return {}
    announce(f"{len(missing):,} of {wanted:,} cells to compute, {samples:,} samples")
    if samples < TIMED_FROM * len(kinds) or any(isinstance(model, ClosedModel) for model in plan.options.models):
        return {}
    estimate = estimate_cost(plan.suite, plan.options, progress)
    seconds = {Kind(k.model, k.dataset, k.condition): k.seconds for k in estimate.kinds}
    whole = sum(seconds.get(kind, 0.0) * n for kind, n in kinds.items()) / max(1, plan.options.workers)
    disk = f", and {estimate.disk / 2**20:,.0f} MiB" if len(missing) == wanted else ""
    announce(f"about {duration(whole)}{disk}, by {SAMPLES} samples of each model under each condition; checks and report come on top")
    return seconds


def _compute(
    plan: Plan,
    cells: Sequence[PlannedCell],
    going_on: Container[Pair],
    folder: RunFolder,
    progress: Callable[[int], Progress],
    guessed: Mapping[Kind, float],
) -> _AboutModels:
    """Every cell, model by model, and what is asked about each model on its data, while the model is alive."""
    batch_size, left = BatchSize(plan.options.batch_size), Counter(place_of(c.row) for c in cells)
    time_left, since = TimeLeft(_samples_of_kinds(cells), guessed), time.monotonic()
    complexity: dict[Pair, ComplexityRow] = {}
    explanations: dict[Pair, list[ExplanationRow]] = {}
    with progress(sum(c.row.n for c in cells)) as bar:

        def finish(cell: PlannedCell) -> None:
            nonlocal since
            now = time.monotonic()
            time_left.finish(_kind(cell), cell.row.n, now - since)
            since = now
            bar.expect(time_left.seconds)
            bar.advance(cell.row.n)
            place = place_of(cell.row)
            left[place] -= 1
            if not left[place]:
                RecordStore(folder).compact(c.row for c in plan.cells if place_of(c.row) == place)

        if plan.options.elsewhere and cells:
            _compute_elsewhere(plan, cells, folder, bar, finish)
        items: list[PlannedCell | Pair] = [*([] if plan.options.elsewhere else cells), *plan.pairs]
        for item in by_model(items, _spec_of):
            if isinstance(item, Pair):
                complexity[item] = stored_complexity(folder, item, plan.options.device, plan.reader)
                methods = plan.track(item.row.task).explanations if item in going_on else ()
                explanations[item] = []
                for method in methods:
                    bar.describe(f"{item.row.name} · {method}")
                    explanations[item] += stored_explanations(folder, item, method, plan.options.device, plan.reader)
                continue
            bar.describe(f"{item.row.model} · {item.row.condition}")
            compute_cell(plan, item, batch_size, folder)
            finish(item)
    return _AboutModels(tuple(complexity[pair] for pair in plan.pairs), tuple(row for pair in plan.pairs for row in explanations[pair]))


def _compute_elsewhere(
    plan: Plan, cells: Sequence[PlannedCell], folder: RunFolder, bar: Progress, finish: Callable[[PlannedCell], None]
) -> None:
    """The cells, by worker processes of this machine or of a cluster."""
    options, by_key = plan.options, {cell.row.key: cell for cell in cells}
    threads = max(1, torch.get_num_threads() // options.workers) if options.executor == "local" else 1
    order = work_order(plan, str(folder.root.resolve()), str(Path.cwd()), plugins(), threads)
    executor: Executor = LocalExecutor(options.workers)
    if options.executor == "ray":
        executor = RayExecutor(options.workers, options.address, options.worker_memory)
    store_hashes(folder.file_hashes)
    bar.describe(f"{options.workers} workers")

    def done(one: Done) -> None:
        cell = by_key[one.key]
        if options.mirror:
            Mirror(options.mirror, folder).pull(files_of(folder, cell))
        bar.describe(f"{cell.row.model} · {cell.row.condition}")
        finish(cell)

    executor.compute(order, groups_of(by_model(cells, _spec_of)), done)


def _kind(cell: PlannedCell) -> Kind:
    return Kind(cell.row.model, cell.row.dataset, cell.row.condition)


def _samples_of_kinds(cells: Sequence[PlannedCell]) -> dict[Kind, int]:
    """How many samples of each kind the cells hold."""
    found: Counter[Kind] = Counter()
    for cell in cells:
        found[_kind(cell)] += cell.row.n
    return dict(found)


def _spec_of(item: PlannedCell | Pair) -> str:
    return (item if isinstance(item, Pair) else item.pair).row.spec


def _merge_predictions(folder: RunFolder, plan: Plan) -> None:
    """One COCO results file for each detector, data set and condition, of its cells' files."""
    merged: dict[tuple[str, str, str], list[dict[str, object]]] = {}
    for cell in plan.cells:
        entries = _entries(folder, cell.row.key)
        if entries is not None:
            merged.setdefault((cell.row.model, cell.row.dataset, cell.row.condition), []).extend(entries)
    for where, entries in merged.items():
        write_json(folder.predictions(*where), entries)
    if plan.options.save_predictions:
        saved_predictions.merge(folder, plan)


def _data_notes(plan: Plan) -> list[str]:
    """What data sets say of themselves, each once."""
    return list(dict.fromkeys(note for pair in plan.pairs if isinstance(pair.dataset, HasNotes) for note in pair.dataset.notes))


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
        tracks=tuple(with_facts(track) for track in plan.tracks),
        models=tuple({(p.row.task, p.row.name): p.row for p in plan.pairs}.values()),
        datasets=tuple({(p.dataset_row.name, p.row.task): p.dataset_row for p in plan.pairs}.values()),
        pairings=plan.pairings(),
        cells=tuple(c.row for c in plan.cells),
        gates=plan.suite.gates,
        reports=plan.suite.reports,
        notes=tuple(dict.fromkeys([*plan.options.notes, *(note for p in plan.pairs for note in p.class_map.notes), *_data_notes(plan)])),
        associations=plan.associations(),
        licences=licences([p.row.spec for p in plan.pairs], [p.dataset_row.spec for p in plan.pairs]),
        limits=limits([p.dataset_row.spec for p in plan.pairs]),
        environment=environment(),
        architectures=tuple(architecture(spec) for spec in dict.fromkeys(p.row.spec for p in plan.pairs)),
    )
    earlier = _earlier_info(folder)
    if earlier is None:
        return info
    # What the models cost, and where their answers come from, is known once the run has begun.
    known = {name: getattr(earlier, name) for name in ("created", "command", "complexity", "explanations")}
    same = msgspec.structs.replace(info, **known)
    return earlier if same == earlier else info


def _earlier_info(folder: RunFolder) -> RunInfo | None:
    """The run.json that is there; None where there is none, or where nothing can be made of it: then it is written anew. WrittenByNewer."""
    try:
        return read_run(folder.root) if folder.run_info.exists() else None
    except WrittenByNewer:
        raise
    except UserError as error:
        logger.warning("%s: taken as missing", error)
        return None


def _versions(code: Dependencies) -> dict[str, str]:
    """Of this package and of those that its numbers come from; what is not installed is left out."""
    return {"robustbench-cv": __version__} | {name: version for name, version in code.distributions.items() if version}


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
