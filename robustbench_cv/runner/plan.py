"""From a suite to cells: models and data sets built, classes matched, controls added, every cell with its key."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from robustbench_cv.adversary.combinators.transfer import surrogates, with_surrogates
from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, METRICS, MODELS
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import UserError
from robustbench_cv.foreign import calling
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.intervention import NeedsDonors
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.models.adapt import weights_sha256
from robustbench_cv.models.labels import require_classes
from robustbench_cv.records import Record
from robustbench_cv.registry import Spec
from robustbench_cv.results import CellRow, DatasetRow, MetricRow, ModelRow, Pairing, TrackRow
from robustbench_cv.runner.batches import BatchSize
from robustbench_cv.runner.carried import carried, smaller_budget
from robustbench_cv.runner.cell import Job, radius_of
from robustbench_cv.runner.fingerprint import code_sha256, digest, source_sha256, versions
from robustbench_cv.runner.fitted import FitPlan, fitted, plan_fit
from robustbench_cv.runner.store import Store
from robustbench_cv.suite import Condition, Suite, Track, check_gates
from robustbench_cv.suite_files import check_specs
from robustbench_cv.terminal import encodable
from robustbench_cv.training.train_on_demand import build
from robustbench_cv.types import AnyModel, Dataset, HasModule, Labels

SHARD = 64
"""Samples in a cell: what a kill can lose."""

PICTURES = 4


@dataclass(frozen=True)
class Options:
    """What a user may change of a suite. models (specs or built ones), data: replace the suite's, for the tracks of their task.

    notes: what readers of the report must know (data or weights that differ from the published ones). strength: samples that an attack
    did not break on which others are tried, to say whether it was strong; 0 tries none, None as many as the suite says.
    """

    models: tuple[str | AnyModel, ...] = ()
    data: tuple[str, ...] = ()
    limit: int | None = None
    seed: int | None = None
    device: str = "cpu"
    batch_size: int | None = None
    skip_bad: bool = False
    class_map: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
    strength: int | None = None


@dataclass(frozen=True, eq=False)
class Pair:
    """A model on a data set: classes matched, samples chosen, their fingerprints taken.

    donors: what edits may borrow from, the whole of the data set whatever the limit.
    """

    model: AnyModel
    row: ModelRow
    dataset: Dataset
    dataset_row: DatasetRow
    class_map: ClassMap
    indices: tuple[int, ...]
    fingerprints: tuple[str, ...]
    donors: Donors


@dataclass(frozen=True, eq=False)
class PlannedCell:
    """A cell with what building its job takes. fit: what its attack is fitted on first, if it is one of those.

    base: the key of the cell whose broken samples this one takes over; None for most.
    """

    row: CellRow
    pair: Pair
    condition: Condition
    indices: tuple[int, ...]
    pictures: int
    fit: FitPlan | None = None
    base: str | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that a run will do. surrogates: the models that its attacks transfer from, by their specs."""

    suite: Suite
    tracks: tuple[TrackRow, ...]
    pairs: tuple[Pair, ...]
    cells: tuple[PlannedCell, ...]
    options: Options
    surrogates: Mapping[str, AnyModel] = field(default_factory=dict)

    def pairings(self) -> tuple[Pairing, ...]:
        return tuple(Pairing(p.row.task, p.row.name, p.dataset_row.name, p.class_map.describe()) for p in self.pairs)


def make_plan(suite: Suite, options: Options) -> Plan:
    """Build what the suite names (or what the options put in its place). UserError where something cannot be built or matched."""
    check_specs(suite, options.models, options.data)
    seed = suite.seed if options.seed is None else options.seed
    models = _asked(options)
    tracks: list[TrackRow] = []
    pairs: list[Pair] = []
    cells: list[PlannedCell] = []
    asked: dict[str, AnyModel] = {}
    for track in _chosen_tracks(suite, models):
        own = models or {spec: build(spec, device=options.device) for spec in track.models}
        rows = {spec: _model_row(spec, model) for spec, model in own.items() if model.info.task == track.task}
        datasets = {spec: _dataset(spec, track, options) for spec in options.data or track.datasets}
        donors = {spec: Donors(_whole(spec, dataset)) for spec, dataset in datasets.items()}
        conditions = with_controls(track.conditions)
        specs = {c.name: surrogates(ATTACKS.build(c.attack)) if c.attack else () for c in conditions}
        asked |= {s: build(s, device=options.device) for s in dict.fromkeys(itertools.chain(*specs.values())) if s not in asked}
        others = {name: [_identity(spec, asked[spec]) for spec in each] for name, each in specs.items()}
        found = [_pair(own[m], row, spec, dataset, donors[spec], options) for spec, dataset in datasets.items() for m, row in rows.items()]
        metrics = [_metric_row(name, found[0].row) for name in track.metrics]
        names = tuple(dict.fromkeys(p.row.name for p in found)), tuple(dict.fromkeys(p.dataset_row.name for p in found))
        tracks.append(TrackRow(track.task, *names, conditions, tuple(metrics)))
        pairs += found
        bases = {c.name: smaller_budget(c, conditions[:i], track.task) for i, c in enumerate(conditions)}
        for pair in found:
            made: dict[str, list[PlannedCell]] = {}
            for condition in conditions:
                base = bases[condition.name]
                below = [c.row.key for c in made[base.name]] if base else []
                made[condition.name] = list(_cells(suite, seed, track, pair, condition, options, others[condition.name], below))
            cells += itertools.chain.from_iterable(made.values())
    _refuse_equal_names(pairs)
    check_gates(suite, [p.row.name for p in pairs], {m.name: m for t in tracks for m in t.metrics})
    return Plan(msgspec.structs.replace(suite, seed=seed), tuple(tracks), tuple(pairs), tuple(cells), options, asked)


def _asked(options: Options) -> dict[str, AnyModel]:
    """The models of the options by spec; two of one name that were handed over built, of different tasks, are told apart by task."""
    asked: dict[str, AnyModel] = {}
    for model in options.models:
        if isinstance(model, str):
            asked[model] = build(model, device=options.device)
        else:
            spec = f"object:{model.info.name}"
            asked[spec if spec not in asked else f"{spec}-{model.info.task}"] = model
    return asked


def with_controls(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Each intervention followed by its placebo, from the `control` that its last edit names."""
    out: list[Condition] = []
    for condition in conditions:
        out.append(condition)
        if condition.kind != "intervention" or any(c.control_of == condition.name for c in conditions):
            continue
        *first, last = condition.interventions
        control = INTERVENTIONS.build(last).control
        if control is not None:
            curve = condition.curve and f"{condition.curve} control"
            name = f"{condition.name} control"
            out.append(Condition(name, (*first, control), None, condition.severity, curve, condition.name))
    return tuple(out)


def build_job(plan: Plan, cell: PlannedCell, batch_size: BatchSize, store: Store | None = None) -> Job:
    """What running a cell takes, built: edits bound to their donors, the attack, the metrics for the model's classes.

    store: where attacks that are fitted first keep what they fit; without one they are left unfitted.
    """
    pair, condition = cell.pair, cell.condition
    edits = []
    for spec in condition.interventions:
        edit = INTERVENTIONS.build(spec)
        if isinstance(edit, NeedsDonors):
            edit = edit.with_donors(pair.donors)
        edits.append(edit)
    track = next(t for t in plan.tracks if t.task == cell.row.task)
    attack, blank = _attack(plan, cell, store), blank_record(plan, cell)
    return Job(
        pair.model,
        pair.dataset,
        pair.class_map,
        condition,
        edits,
        attack,
        {m.name: _metric(m.name, pair.row) for m in track.metrics},
        cell.indices,
        blank,
        plan.options.device,
        batch_size,
        plan.options.skip_bad,
        cell.pictures,
        carried(store, cell.base, blank, radius_of(attack)) if store and cell.base else {},
    )


def blank_record(plan: Plan, cell: PlannedCell) -> Record:
    """What all records of a cell share."""
    pair = cell.pair
    return Record(
        plan.suite.name, plan.suite.version, cell.row.task, pair.row.name, pair.dataset_row.name, cell.condition.name, "", plan.suite.seed
    )


def _attack(plan: Plan, cell: PlannedCell, store: Store | None) -> Any:
    if cell.fit is not None and store is not None:
        return fitted(cell.fit, store.artefacts(cell.fit.key), cell.pair, plan.suite.seed, plan.options)
    return with_surrogates(ATTACKS.build(cell.condition.attack), plan.surrogates.__getitem__) if cell.condition.attack else None


def _chosen_tracks(suite: Suite, models: Mapping[str, AnyModel]) -> list[Track]:
    for model in models.values():
        require_classes(model)
    tasks = {m.info.task for m in models.values()}
    chosen = [t for t in suite.tracks if not tasks or t.task in tasks]
    missing = tasks - {t.task for t in chosen}
    if missing:
        offered = sorted({t.task for t in suite.tracks})
        raise UserError(f"suite {suite.name!r} has no {sorted(missing)[0]} track for these models; it has {', '.join(offered)}")
    return chosen


def _dataset(spec: str, track: Track, options: Options) -> Dataset:
    samples = options.limit or track.samples
    more: dict[str, Any] = {"task": track.task}
    if samples is not None and "samples" not in Spec.parse(spec).args:
        more["samples"] = samples
    dataset = DATASETS.build(spec, **more)
    if dataset.task != track.task:
        raise UserError(f"data {spec!r} is for {dataset.task}, this track is {track.task}; name data of that task with --data")
    return dataset


def _whole(spec: str, dataset: Dataset) -> Dataset:
    """The data set as its spec alone describes it, where the number of samples was asked for beside it; else itself."""
    parameter = inspect.signature(DATASETS.factory(spec)).parameters.get("samples")
    if parameter is None or parameter.default is parameter.empty or "samples" in Spec.parse(spec).args:
        return dataset
    return DATASETS.build(spec, task=dataset.task)


def _model_row(spec: str, model: AnyModel) -> ModelRow:
    info = model.info
    return ModelRow(info.name or spec, spec, info.task, info.classes.names, info.parameters, _weights(model), info.operating_score)


def _weights(model: AnyModel) -> str:
    """Their hash; empty for a model that has none to show."""
    return model.info.weights_sha256 or (weights_sha256(model.module) if isinstance(model, HasModule) else "")


def _identity(spec: str, surrogate: AnyModel) -> list[str]:
    """What the answers of a model that an attack asks besides its victim depend on."""
    return [spec, _weights(surrogate), source_sha256(MODELS, [spec])]


def _pair(model: AnyModel, row: ModelRow, spec: str, dataset: Dataset, donors: Donors, options: Options) -> Pair:
    class_map = ClassMap.match(dataset.labels, model.info.classes, options.class_map or {})
    _require_text(f"model {row.spec!r}", (row.name, *row.classes))
    _require_text(f"data {spec!r}", (dataset.name, *dataset.labels.names, *dataset.ids))
    with calling(f"data {spec!r}", lambda: True):
        indices, fingerprints = _chosen(dataset, spec, options.limit)
    dataset_row = DatasetRow(dataset.name, spec, dataset.task, len(indices), digest([dataset.ids[i] for i in indices]))
    return Pair(model, row, dataset, dataset_row, class_map, indices, fingerprints, donors)


def _require_text(whose: str, names: Sequence[str]) -> None:
    """UserError for a name that no file can hold."""
    for name in names:
        if encodable(name) != name:
            raise UserError(f"{whose}: the name {name!r} is no text (a file name that is not UTF-8?); rename it")


def _chosen(dataset: Dataset, spec: str, limit: int | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The positions of the samples of a run, and their fingerprints."""
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count == 0:
        raise UserError(f"data {spec!r} holds no sample (limit {limit})")
    # by a hash of the id: any limit is a fair draw (folders are sorted by class), and a larger one holds a smaller one's shards
    indices = tuple(sorted(range(len(dataset)), key=lambda i: digest(dataset.ids[i]))[:count])
    return indices, tuple(dataset.fingerprint(i) for i in indices)


def _cells(
    suite: Suite,
    seed: int,
    track: Track,
    pair: Pair,
    condition: Condition,
    options: Options,
    others: list[list[str]],
    below: Sequence[str],
) -> Iterator[PlannedCell]:
    """One for each shard. others: the surrogates' identities. below: the keys of the smaller budget's cells, where there is one."""
    fit = plan_fit(pair, condition, seed, options)
    takes_donors = _takes_donors(condition)
    common = {
        "code": code_sha256(interventions=bool(condition.interventions), attacks=condition.attack is not None),
        "versions": versions(),
        "own": [
            source_sha256(MODELS, [pair.row.spec]),
            source_sha256(DATASETS, [pair.dataset_row.spec]),
            source_sha256(INTERVENTIONS, condition.interventions),
            source_sha256(ATTACKS, [condition.attack] if condition.attack else []),
            source_sha256(METRICS, track.metrics),
        ],
        "fit": fit.key if fit else "",
        "surrogates": others,
        "model": pair.row,
        "dataset": [pair.dataset_row.name, pair.dataset_row.spec],
        "class_map": pair.class_map.key(),
        "condition": condition,
        "metrics": track.metrics,
        "suite": [suite.name, suite.version, seed],
        "device": options.device.partition(":")[0],
    }
    for start in range(0, len(pair.indices), SHARD):
        indices = pair.indices[start : start + SHARD]
        pictures = PICTURES if start == 0 else 0
        ids = [pair.dataset.ids[i] for i in indices]
        data = [[id_, f] for id_, f in zip(ids, pair.fingerprints[start : start + SHARD], strict=True)]
        base = below[start // SHARD] if below else None
        lent = pair.donors.fingerprints(ids, seed) if takes_donors else []
        key = digest(common | {"data": data, "donors": lent, "pictures": pictures, "base": base})[:32]
        row = CellRow(key, track.task, pair.row.name, pair.dataset_row.name, condition.name, len(indices))
        yield PlannedCell(row, pair, condition, indices, pictures, fit, base)


def _takes_donors(condition: Condition) -> bool:
    return any(isinstance(INTERVENTIONS.build(spec), NeedsDonors) for spec in condition.interventions)


def _metric(name: str, row: ModelRow) -> Metric:
    return METRICS.build(name, labels=Labels(row.classes), operating_score=row.operating_score)


def _metric_row(name: str, row: ModelRow) -> MetricRow:
    return MetricRow.of(name, _metric(name, row))


def _refuse_equal_names(pairs: Sequence[Pair]) -> None:
    seen: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        name = (pair.row.name, pair.dataset_row.name)
        if name in seen and seen[name].row.task == pair.row.task:
            raise UserError(f"two models of this run are called {name[0]!r} on {name[1]!r}; give one another name=... in its spec")
        seen[name] = pair


__all__ = ["Options", "Pair", "Plan", "PlannedCell", "blank_record", "build_job", "make_plan", "with_controls"]
