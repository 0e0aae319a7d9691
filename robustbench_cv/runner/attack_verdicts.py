"""The verdict on every attack of a run, kept in the run folder under a key of what it rests on, so that resuming does not repeat it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from robustbench_cv.batching import BatchSize
from robustbench_cv.check_findings import STRENGTH, Finding
from robustbench_cv.checks import attack_strength
from robustbench_cv.checks.attack_strength import judge
from robustbench_cv.checks.checked_attack import Attacked, Budget, Other
from robustbench_cv.errors import BadSample, ForeignError, NotApplicable, RobustBenchError
from robustbench_cv.foreign_errors import calling, read_sample
from robustbench_cv.record_store import RecordStore
from robustbench_cv.records import AttackTrace, Record, to_records
from robustbench_cv.run_folder import STRENGTH_VERDICT, RunFolder, json_file
from robustbench_cv.runner.cell import condition_sample
from robustbench_cv.runner.cell_code import check_code
from robustbench_cv.runner.job import build_job
from robustbench_cv.runner.model_pool import by_model
from robustbench_cv.runner.planned_cells import Pair, Plan, PlannedCell
from robustbench_cv.runner.progress_bar import Progress
from robustbench_cv.suite import Condition
from robustbench_cv.types import Sample

LOOKED_AT = 64
"""Samples, of those that an attack broke, of which is asked whether they were right before (project choice)."""


def count_attacks(plan: Plan) -> int:
    """How many verdicts there are at most."""
    return sum(len(_attacks(plan, pair)) for pair in plan.pairs)


def stored_strength(folder: RunFolder, plan: Plan, progress: Progress) -> list[Finding]:
    """The verdict on each attack on each model and data set, of those whose cells are all there. progress: over verdicts."""
    findings = []
    for pair in by_model(plan.pairs, lambda p: p.row.spec):
        for condition in _attacks(plan, pair):
            cells = _cells(plan, pair, condition)
            if _are_done(folder, cells):
                progress.describe(f"{pair.row.name} · is {condition.name} strong?")
                findings.append(_stored_finding(folder, plan, pair, condition, cells))
            progress.advance(1)
    return findings


def samples_to_try(plan: Plan) -> int:
    return plan.suite.strength if plan.options.strength is None else plan.options.strength


def _attacks(plan: Plan, pair: Pair) -> list[Condition]:
    track = next(t for t in plan.tracks if t.task == pair.row.task)
    return [c for c in track.conditions if c.kind == "attack"]


def _cells(plan: Plan, pair: Pair, condition: Condition) -> list[PlannedCell]:
    return [c for c in plan.cells if c.pair is pair and c.condition.name == condition.name]


def _stored_finding(folder: RunFolder, plan: Plan, pair: Pair, condition: Condition, cells: Sequence[PlannedCell]) -> Finding:
    others = [o for o in plan.pairs if _is_surrogate(o, pair) and _are_done(folder, _cells(plan, o, condition))][:1]
    curve = [c for c in _attacks(plan, pair) if condition.curve is not None and c.curve == condition.curve and c.severity is not None]
    related = [c.row.key for one in curve for c in _cells(plan, pair, one) if _are_done(folder, [c])]
    code = plan.reader.of([attack_strength.__name__, build_job.__module__, *check_code("attack")])
    for one in (pair, *others):
        code |= one.code
    attacks = [[c.row.key for c in cells], related, [o.identity for o in others]]
    facts = [*attacks, code.sha256, plan.options.device, samples_to_try(plan)]
    return folder.remember(
        STRENGTH_VERDICT,
        facts,
        json_file(Finding),
        lambda: _judge_pair(folder, plan, pair, condition=condition, cells=cells, others=others, curve=curve),
    )


def _is_surrogate(other: Pair, pair: Pair) -> bool:
    """Another model of the same task on the same samples."""
    same_data = other.dataset_row.name == pair.dataset_row.name and other.indices == pair.indices
    return other.row.task == pair.row.task and same_data and other.row.name != pair.row.name


def _judge_pair(
    folder: RunFolder,
    plan: Plan,
    pair: Pair,
    condition: Condition,
    cells: Sequence[PlannedCell],
    others: Sequence[Pair],
    curve: Sequence[Condition],
) -> Finding:
    if any(c.fit is not None for c in cells):
        evidence = "one perturbation for all samples, fitted on others: compare it with itself shuffled, not with attacks on each sample"
        return _said_of(pair, condition, Finding("S10", STRENGTH, "not applicable", evidence))
    try:
        with calling(f"attacks like {condition.attack} on model {pair.row.name!r}", lambda: True):
            verdict = judge(_subject(folder, plan, pair, condition=condition, cells=cells, others=others, curve=curve))
    except RobustBenchError as reason:
        verdict = Finding("S10", STRENGTH, "note", f"not judged: {reason}")
    return _said_of(pair, condition, verdict)


def _said_of(pair: Pair, condition: Condition, verdict: Finding) -> Finding:
    code, dataset = verdict.code or "attack-strength", pair.dataset_row.name
    return replace(verdict, code=code, model=pair.row.name, dataset=dataset, condition=condition.name, task=pair.row.task)


def _subject(
    folder: RunFolder,
    plan: Plan,
    pair: Pair,
    condition: Condition,
    cells: Sequence[PlannedCell],
    others: Sequence[Pair],
    curve: Sequence[Condition],
) -> Attacked:
    rows = _rows(folder, cells)
    traces = dict(_attacked_samples(rows))
    survivors = [sample for sample, trace in traces.items() if not trace.success]
    chosen = _samples(plan, pair, cells, survivors, samples_to_try(plan))
    refused = sum(row.reason_code == "no-gradient" for row in rows)
    if refused and not traces:
        everyone = _samples(plan, pair, cells, [row.sample for row in rows], samples_to_try(plan))
        return _of(plan, pair, condition, everyone, attacked=refused, survived=refused, no_gradient=True)
    n = max(1, len(traces))
    budgets = [Budget(float(c.severity or 0), _broken_samples(_rows(folder, _cells(plan, pair, c)))) for c in curve]
    return _of(
        plan,
        pair,
        condition,
        chosen,
        broken=[] if survivors else _samples(plan, pair, cells, list(traces), LOOKED_AT),
        attacked=len(traces),
        survived=len(survivors),
        backwards=sum(t.backwards for t in traces.values()) / n,
        zero=zero_share(traces.values()),
        curve=budgets,
        others=list(_others(plan, others, cells, chosen)),
    )


def zero_share(traces: Collection[AttackTrace]) -> float:
    """Share of the attacked samples that were not broken and whose every gradient was exactly zero.

    Of those that were broken a zero says nothing: DLR, for one, is flat where the label is the third likeliest class.
    """
    zero = [t for t in traces if t.zero_grads >= 1.0 and not t.success]
    return len(zero) / max(1, len(traces))


def _of(plan: Plan, pair: Pair, condition: Condition, survivors: Sequence[Sample], **measured: Any) -> Attacked:
    common = {"severity": condition.severity, "seed": plan.suite.seed, "device": plan.options.device, "backwards": 0.0}
    return Attacked(model=pair.model, task=pair.row.task, spec=condition.attack or "", survivors=survivors, **(common | measured))


def _are_done(folder: RunFolder, cells: Sequence[PlannedCell]) -> bool:
    return RecordStore(folder).has(c.row for c in cells)


def _rows(folder: RunFolder, cells: Sequence[PlannedCell]) -> list[Record]:
    return to_records(RecordStore(folder).read([c.row for c in cells]))


def _attacked_samples(rows: Sequence[Record]) -> Iterator[tuple[str, AttackTrace]]:
    """Sample and trace of those that were attacked: not those without anything to attack, nor those on which the model broke down."""
    for row in rows:
        if row.attack is not None and row.status == "ok" and not row.reason:
            yield row.sample, row.attack


def _broken_samples(rows: Sequence[Record]) -> dict[str, bool]:
    return {sample: trace.success for sample, trace in _attacked_samples(rows)}


def _samples(plan: Plan, pair: Pair, cells: Sequence[PlannedCell], wanted: Sequence[str], most: int) -> list[Sample]:
    """The first of the wanted samples as the attack met them, all of one shape."""
    chosen: list[Sample] = []
    remaining = set(wanted)
    for cell in cells:
        job = build_job(plan, cell, BatchSize(plan.options.batch_size))
        for index in cell.indices:
            if len(chosen) == most:
                return chosen
            if pair.dataset.ids[index] not in remaining:
                continue
            sample = condition_sample(job, index)
            if sample is not None and (not chosen or sample.image.shape == chosen[0].image.shape):
                chosen.append(sample)
    return chosen


def _others(plan: Plan, others: Sequence[Pair], cells: Sequence[PlannedCell], chosen: Sequence[Sample]) -> Iterator[Other]:
    """Surrogates whose classes serve every chosen sample; not for edited images, whose targets were matched with one model's classes."""
    if not chosen or any(c.condition.interventions for c in cells):
        return
    models = plan.models.beside(pair.row.spec for pair in others)
    for pair in others:
        places = {pair.dataset.ids[i]: i for i in pair.indices}
        try:
            yield Other(models[pair.row.spec], [pair.class_map.sample(read_sample(pair.dataset, places[s.id])) for s in chosen])
        except (NotApplicable, BadSample, ForeignError):
            continue
