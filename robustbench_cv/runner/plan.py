"""From a suite to cells: models and data sets built, classes matched, controls added, every cell with its key."""

from __future__ import annotations

import inspect
import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from robustbench_cv.adversary.combinators.transfer import surrogates
from robustbench_cv.adversary.universal.judging import attack_of
from robustbench_cv.adversary.victim import TASK
from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.data.source import HasModelView, NeedsDataset
from robustbench_cv.errors import UserError
from robustbench_cv.file_hashes import file_sha256
from robustbench_cv.foreign_errors import calling
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.intervention import Intervention, NeedsDonors, ReadsFiles, SurveysDonors
from robustbench_cv.registry import Spec
from robustbench_cv.results import CellRow, DatasetRow, MetricRow, ModelRow, TrackRow
from robustbench_cv.run_folder import RunFolder, digest
from robustbench_cv.runner.budget_warm_start import smaller_budget
from robustbench_cv.runner.cell_code import engine_code
from robustbench_cv.runner.context_counts import ContextCounts, compares_contexts
from robustbench_cv.runner.dependencies import Dependencies, DependencyReader, built_with_code
from robustbench_cv.runner.edited_samples import Renderings
from robustbench_cv.runner.job import build_metric
from robustbench_cv.runner.model_description import Described, ModelDescriber
from robustbench_cv.runner.model_pool import ModelPool
from robustbench_cv.runner.planned_cells import Options, Pair, Plan, PlannedCell
from robustbench_cv.runner.universal_fit import plan_fit
from robustbench_cv.suite import Condition, Suite, Track, check_gates
from robustbench_cv.suite_files import check_specs
from robustbench_cv.terminal import encodable
from robustbench_cv.types import AnyModel, Dataset, Labels

SHARD = 64
"""Samples in a cell: what a kill can lose."""

PICTURES = 8


def make_plan(suite: Suite, options: Options, folder: RunFolder | None = None) -> Plan:
    """What a suite's run will do, or with what the options put in its place. UserError where something cannot be built or matched.

    folder: where models are described, so that they need not be built for a plan, and where their earlier answers are, with which those
    of these are compared.
    """
    check_specs(suite, options.models, options.data)
    seed = suite.seed if options.seed is None else options.seed
    reader = DependencyReader()
    asked = _asked_models(options)
    pool = ModelPool(options.device, {spec: model for spec, model in asked.items() if model is not None})
    describer = ModelDescriber(pool, options.device, reader, folder)
    tracks: list[TrackRow] = []
    pairs: list[Pair] = []
    cells: list[PlannedCell] = []
    for track, chosen in _pairs_by_track(suite, options, list(asked), describer, pool=pool, reader=reader, folder=folder):
        conditions = with_controls(track.conditions) if options.placebos else track.conditions
        metrics = tuple(_metric_row(name, chosen[0].row) for name in track.metrics)
        names = tuple(dict.fromkeys(p.row.name for p in chosen)), tuple(dict.fromkeys(p.dataset_row.name for p in chosen))
        tracks.append(TrackRow(track.task, *names, conditions, metrics))
        pairs += chosen
        for pair in chosen:
            pair.renderings.serve_model(None if folder is None else folder.edited, seed)
        maker = _CellMaker(suite, seed, track, conditions=conditions, options=options, reader=reader, describer=describer)
        cells += itertools.chain.from_iterable(maker.cells(pair) for pair in chosen)
    _refuse_equal_names(pairs)
    # Gates for the suite's own models wait for them where others take their place.
    replaced = [spec for track in suite.tracks for spec in track.models] if options.models else []
    check_gates(suite, [*(p.row.name for p in pairs), *replaced], {m.name: m for t in tracks for m in t.metrics})
    suite = msgspec.structs.replace(suite, seed=seed)
    return Plan(suite=suite, tracks=tuple(tracks), pairs=tuple(pairs), cells=tuple(cells), options=options, reader=reader, models=pool)


class _Data(NamedTuple):
    """A data set, what it was asked for as, what it lends to edits, how its classes and contexts meet, and the code it was built from."""

    spec: str
    dataset: Dataset
    donors: Donors
    contexts: ContextCounts
    renderings: Renderings
    code: Dependencies


def _asked_models(options: Options) -> dict[str, AnyModel | None]:
    """The models of the options by spec, those that were handed over built with themselves; two of one name and different tasks are told
    apart by task."""
    asked: dict[str, AnyModel | None] = {}
    for model in options.models:
        if isinstance(model, str):
            asked[model] = None
        else:
            spec = f"object:{model.info.name}"
            asked[spec if spec not in asked else f"{spec}-{model.info.task}"] = model
    return asked


def _pairs_by_track(
    suite: Suite,
    options: Options,
    asked: Sequence[str],
    describer: ModelDescriber,
    *,
    pool: ModelPool,
    reader: DependencyReader,
    folder: RunFolder | None,
) -> list[tuple[Track, list[Pair]]]:
    """The tracks that the asked models are for (all of them where none is asked), each with its models on its data.

    Model by model, so that one of them at a time is alive; pairs of a track stand in the order of its data.
    """
    datasets: dict[int, list[_Data]] = {}
    pairs: dict[int, list[tuple[int, Pair]]] = {}
    numbered = list(enumerate(suite.tracks))
    wanted = [(spec, numbered) for spec in asked] or [(spec, [(k, track)]) for k, track in numbered for spec in track.models]
    for spec, tracks in wanted:
        described = describer.describe(spec)
        serving = [(k, track) for k, track in tracks if track.task == described.row.task]
        if asked and not serving:
            offered = sorted({t.task for t in suite.tracks})
            raise UserError(f"suite {suite.name!r} has no {described.row.task} track for these models; it has {', '.join(offered)}")
        for k, track in serving:
            if k not in datasets:
                datasets[k] = [_dataset(name, track, options, reader, folder) for name in dict.fromkeys(options.data or track.datasets)]
            for place, data in enumerate(datasets[k]):
                seen = _as_data_see_it(spec, data.dataset, describer, pool)
                pair = _pair(seen, data, track, options, describer=describer, pool=pool)
                pairs.setdefault(k, []).append((place, pair))
    return [(suite.tracks[k], [pair for _, pair in sorted(pairs[k], key=operator.itemgetter(0))]) for k in sorted(pairs)]


def _as_data_see_it(spec: str, dataset: Dataset, describer: ModelDescriber, pool: ModelPool) -> Described:
    """The model of a spec, or where the data's classes are coarser than its own, that model through the data's view of it."""
    described = describer.describe(spec)
    view = dataset.model_view(described.row.name, described.row.classes) if isinstance(dataset, HasModelView) else None
    if view is None:
        return described
    seen = str(Spec(view.factory, {"model": spec}))
    if pool.is_given(spec):
        pool.give(seen, view.of(pool.get(spec)))
    return describer.describe(seen)


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


def _dataset(spec: str, track: Track, options: Options, reader: DependencyReader, folder: RunFolder | None) -> _Data:
    samples = options.limit or track.samples
    more: dict[str, Any] = {"task": track.task}
    if samples is not None and "samples" not in Spec.parse(spec).args:
        more["samples"] = samples
    dataset, code = built_with_code(reader, lambda: DATASETS.build(spec, **more))
    if dataset.task != track.task:
        raise UserError(f"data {spec!r} is for {dataset.task}, this track is {track.task}; name data of that task with --data")
    whole = _whole(spec, dataset)
    return _Data(spec, dataset, Donors(whole), ContextCounts(whole, folder), Renderings(dataset), code)


def _whole(spec: str, dataset: Dataset) -> Dataset:
    """The data set as its spec alone describes it, where the number of samples was asked for beside it; else itself."""
    parameter = inspect.signature(DATASETS.factory(spec)).parameters.get("samples")
    if parameter is None or parameter.default is parameter.empty or "samples" in Spec.parse(spec).args:
        return dataset
    return DATASETS.build(spec, task=dataset.task)


def _pair(described: Described, data: _Data, track: Track, options: Options, *, describer: ModelDescriber, pool: ModelPool) -> Pair:
    row, dataset, spec = described.row, data.dataset, data.spec
    class_map = ClassMap.match(dataset.labels, Labels(row.classes), options.class_map or {})
    _require_text(f"model {row.spec!r}", (row.name, *row.classes))
    _require_text(f"data {spec!r}", (dataset.name, *dataset.labels.names, *dataset.ids))
    with calling(f"data {spec!r}", lambda: True):
        # Not every reader takes `samples`, and a spec may say a number of its own.
        most = options.limit or (None if "samples" in Spec.parse(spec).args else track.samples)
        indices, fingerprints = _choose_samples(dataset, spec, most)
    dataset_row = DatasetRow(dataset.name, spec, dataset.task, len(indices), digest([dataset.ids[i] for i in indices]))
    return Pair(
        models=pool,
        row=row,
        dataset=dataset,
        dataset_row=dataset_row,
        class_map=class_map,
        indices=indices,
        fingerprints=fingerprints,
        donors=data.donors,
        contexts=data.contexts,
        renderings=data.renderings,
        code=described.code | data.code,
        answers=describer.answers(row.spec, dataset, indices, fingerprints),
    )


def _require_text(whose: str, names: Sequence[str]) -> None:
    """UserError for a name that no file can hold."""
    for name in names:
        if encodable(name) != name:
            raise UserError(f"{whose}: the name {name!r} is no text (a file name that is not UTF-8?); rename it")


def _choose_samples(dataset: Dataset, spec: str, most: int | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The positions of the samples of a run, and their fingerprints."""
    indices = chosen_indices(dataset, most)
    if not indices:
        raise UserError(f"data {spec!r} holds no sample")
    return indices, tuple(dataset.fingerprint(i) for i in indices)


def chosen_indices(dataset: Dataset, most: int | None) -> tuple[int, ...]:
    """The positions of the samples of a run of at most so many, in its order."""
    count = len(dataset) if most is None else min(most, len(dataset))
    # by a hash of the id: any limit is a fair draw (folders are sorted by class), and a larger one holds a smaller one's shards
    return tuple(sorted(range(len(dataset)), key=lambda i: digest(dataset.ids[i]))[:count])


@dataclass(frozen=True, eq=False)
class _Parts:
    """What the cells of a condition depend on: its edits, code, the surrogates that its attack asks, whether donors are taken, and the
    data set surveyed for them, a smaller budget, the bytes of files that are read; waiting: the edits and the attack of which the data set
    decides what they read."""

    edits: Sequence[Intervention]
    code: Dependencies
    surrogates: tuple[str, ...]
    takes_donors: bool
    surveys: bool
    base: Condition | None
    files: str
    waiting: tuple[NeedsDataset, ...]


class _CellMaker:
    """The cells of one track, a pair at a time. Every part of a condition is built once, to see what code it comes from."""

    def __init__(
        self,
        suite: Suite,
        seed: int,
        track: Track,
        conditions: Sequence[Condition],
        options: Options,
        reader: DependencyReader,
        describer: ModelDescriber,
    ) -> None:
        self._suite, self._seed, self._track, self._conditions = suite, seed, track, conditions
        self._options, self._reader, self._describer = options, reader, describer
        self._shown = _shown_in_pictures(conditions)
        self._parts = {c.name: self._parts_of(c, conditions[:i]) for i, c in enumerate(conditions)}

    def cells(self, pair: Pair) -> Iterator[PlannedCell]:
        """One for each condition and shard."""
        made: dict[str, list[PlannedCell]] = {}
        built, metrics = built_with_code(self._reader, lambda: [build_metric(name, pair.row) for name in self._track.metrics])
        for condition in self._conditions:
            base = self._parts[condition.name].base
            below = [c.row for c in made[base.name]] if base else []
            compares = compares_contexts(self._parts[condition.name].edits, built)
            made[condition.name] = list(self._shards(pair, condition, metrics, below, compares_contexts=compares))
            yield from made[condition.name]

    def _parts_of(self, condition: Condition, before: Sequence[Condition]) -> _Parts:
        edits, code = built_with_code(self._reader, lambda: [INTERVENTIONS.build(spec) for spec in condition.interventions])
        attack, attack_code = built_with_code(self._reader, lambda: attack_of(condition))
        _require_task(condition, attack, self._track)
        asked = tuple(dict.fromkeys(surrogates(attack) if attack is not None else ()))
        for spec in asked:
            code |= self._describer.describe(spec).code
        takes_donors = any(isinstance(edit, NeedsDonors) for edit in edits)
        surveys = any(isinstance(edit, SurveysDonors) and edit.surveys for edit in edits)
        base = smaller_budget(condition, before, self._track.task)
        waiting = tuple(part for part in (*edits, attack) if isinstance(part, NeedsDataset))
        return _Parts(edits, code | attack_code, asked, takes_donors, surveys, base, _bytes_of(edits), waiting)

    def _shards(
        self, pair: Pair, condition: Condition, metrics: Dependencies, below: Sequence[CellRow], *, compares_contexts: bool
    ) -> Iterator[PlannedCell]:
        """below: the smaller budget's cells, where there is one."""
        parts, track = self._parts[condition.name], self._track
        fit = plan_fit(pair, condition, self._seed, self._options, self._reader)
        engine = engine_code(
            self._reader, condition, is_fitted=fit is not None, is_warm=parts.base is not None, transfers=bool(parts.surrogates)
        )
        code = engine | pair.code | parts.code | metrics
        common = {
            "code": code.sha256,
            "fit": fit.key if fit else "",
            "surrogates": [self._surrogate(spec, pair) for spec in parts.surrogates],
            "model": pair.identity,
            "dataset": [pair.dataset_row.name, pair.dataset_row.spec],
            "class_map": pair.class_map.key(),
            "condition": condition,
            "metrics": track.metrics,
            **({"files": parts.files} if parts.files else {}),
            **({"beside": _bytes_of([part.with_dataset(pair.dataset) for part in parts.waiting])} if parts.waiting else {}),
            **({"contexts": pair.contexts.association} if compares_contexts else {}),
            "suite": [self._suite.name, self._suite.version, self._seed],
            "device": self._options.device.partition(":")[0],
        }
        for start in range(0, len(pair.indices), SHARD):
            indices = pair.indices[start : start + SHARD]
            pictures = PICTURES if start == 0 and condition.name in self._shown else 0
            ids = [pair.dataset.ids[i] for i in indices]
            data = [[id_, f] for id_, f in zip(ids, pair.fingerprints[start : start + SHARD], strict=True)]
            lent = pair.donors.fingerprints(ids, self._seed, surveyed=parts.surveys) if parts.takes_donors else []
            base = below[start // SHARD] if below else None
            key = digest(common | {"data": data, "donors": lent, "pictures": pictures, "base": base and base.key})[:32]
            row = CellRow(key, track.task, pair.row.name, pair.dataset_row.name, condition.name, len(indices))
            yield PlannedCell(
                row=row,
                pair=pair,
                condition=condition,
                indices=indices,
                pictures=pictures,
                code=code,
                lent=lent,
                compares_contexts=compares_contexts,
                fit=fit,
                base=base,
            )

    def _surrogate(self, spec: str, pair: Pair) -> list[str]:
        """What tells it from every other: spec, weights, and what it says of a few images."""
        answers = self._describer.answers(spec, pair.dataset, pair.indices, pair.fingerprints)
        return [spec, self._describer.describe(spec).row.weights_sha256, answers]


def _require_task(condition: Condition, attack: Any, track: Track) -> None:
    """UserError where a built attack reads another task's output: of a file's attack, or of one inside another, no name tells it."""
    accepts = getattr(attack, "accepts", None)
    task = TASK.get(accepts) if isinstance(accepts, type) else None
    if task is not None and task != track.task:
        fitting = sorted(e.name for e in ATTACKS.entries().values() if e.facts.get("task") == track.task)
        raise UserError(
            f"condition {condition.name!r}: attack {condition.attack} is for {task}, and the track is for {track.task}; "
            f"there are {', '.join(fitting)}"
        )


def _bytes_of(parts: Sequence[object]) -> str:
    """A hash of all the files that these read; empty where they read none."""
    files = [path for part in parts if isinstance(part, ReadsFiles) for path in part.files]
    return digest([file_sha256(path).hex() for path in files]) if files else ""


def _shown_in_pictures(conditions: Sequence[Condition]) -> frozenset[str]:
    """All but the steps of an edit's curve, of which the middle one is shown: ten shares of an occluder look alike, and weigh ten times."""
    curves: dict[str, list[str]] = {}
    for condition in conditions:
        if condition.curve and condition.attack is None:
            curves.setdefault(condition.curve, []).append(condition.name)
    left_out = {name for names in curves.values() for k, name in enumerate(names) if k != len(names) // 2}
    return frozenset(condition.name for condition in conditions) - left_out


def _metric_row(name: str, row: ModelRow) -> MetricRow:
    return MetricRow.of(name, build_metric(name, row))


def _refuse_equal_names(pairs: Sequence[Pair]) -> None:
    seen: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        name = (pair.row.name, pair.dataset_row.name)
        if name in seen and seen[name].row.task == pair.row.task:
            raise UserError(f"two models of this run are called {name[0]!r} on {name[1]!r}; give one another name=... in its spec")
        seen[name] = pair
    rows = {(pair.row.task, pair.row.name): pair for pair in pairs}
    for pair in pairs:
        other = rows[pair.row.task, pair.row.name]
        if pair.row.classes != other.row.classes:
            data = [one.dataset_row.name for one in (pair, other)]
            raise UserError(
                f"model {pair.row.name!r} answers in other classes on {data[0]!r} than on {data[1]!r}, and a run describes a model once: "
                "make two runs"
            )


__all__ = ["PICTURES", "SHARD", "Options", "Pair", "Plan", "PlannedCell", "chosen_indices", "make_plan", "with_controls"]
