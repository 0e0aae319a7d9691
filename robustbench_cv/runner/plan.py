"""From a suite to cells: models and data sets built, classes matched, controls added, every cell with its key."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from robustbench_cv.adversary.combinators.transfer import surrogates
from robustbench_cv.adversary.universal.judging import attack_of
from robustbench_cv.catalogue import DATASETS, INTERVENTIONS
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import UserError
from robustbench_cv.foreign_code import calling
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.intervention import NeedsDonors
from robustbench_cv.models.adapt import weights_sha256
from robustbench_cv.models.labels import require_classes
from robustbench_cv.registry import Spec
from robustbench_cv.results import CellRow, DatasetRow, MetricRow, ModelRow, TrackRow
from robustbench_cv.run_folder import RunFolder, digest
from robustbench_cv.runner.cell_code import engine_code, model_code
from robustbench_cv.runner.dependencies import Dependencies, DependencyReader, built_with_code
from robustbench_cv.runner.job import build_metric
from robustbench_cv.runner.model_identity import identify
from robustbench_cv.runner.planned_cells import Options, Pair, Plan, PlannedCell
from robustbench_cv.runner.universal_fit import plan_fit
from robustbench_cv.runner.warm_start import smaller_budget
from robustbench_cv.suite import Condition, Suite, Track, check_gates
from robustbench_cv.suite_files import check_specs
from robustbench_cv.terminal import encodable
from robustbench_cv.training.train_on_demand import build
from robustbench_cv.types import AnyModel, Dataset, HasModule

SHARD = 64
"""Samples in a cell: what a kill can lose."""

PICTURES = 4


def make_plan(suite: Suite, options: Options, folder: RunFolder | None = None) -> Plan:
    """Build what the suite names (or what the options put in its place). UserError where something cannot be built or matched.

    folder: where the answers of earlier models are, with which those of these are compared.
    """
    check_specs(suite, options.models, options.data)
    seed = suite.seed if options.seed is None else options.seed
    reader = DependencyReader()
    models = _models_by_spec(options, reader)
    tracks: list[TrackRow] = []
    pairs: list[Pair] = []
    cells: list[PlannedCell] = []
    asked: dict[str, _Built] = {}
    for track in _chosen_tracks(suite, [m.model for m in models.values()]):
        own = models or {spec: _build_model(spec, options.device, reader) for spec in track.models}
        rows = {spec: _model_row(spec, m.model) for spec, m in own.items() if m.model.info.task == track.task}
        datasets = {spec: _dataset(spec, track, options, reader) for spec in options.data or track.datasets}
        chosen = [_pair(own[m], row, data, track, options, folder) for data in datasets.values() for m, row in rows.items()]
        conditions = with_controls(track.conditions)
        metrics = tuple(_metric_row(name, chosen[0].row) for name in track.metrics)
        names = tuple(dict.fromkeys(p.row.name for p in chosen)), tuple(dict.fromkeys(p.dataset_row.name for p in chosen))
        tracks.append(TrackRow(track.task, *names, conditions, metrics))
        pairs += chosen
        maker = _CellMaker(suite, seed, track, conditions=conditions, options=options, reader=reader, folder=folder, asked=asked)
        cells += itertools.chain.from_iterable(maker.cells(pair) for pair in chosen)
    _refuse_equal_names(pairs)
    # Gates for the suite's own models wait for them where others take their place.
    replaced = [spec for track in suite.tracks for spec in track.models] if options.models else []
    check_gates(suite, [*(p.row.name for p in pairs), *replaced], {m.name: m for t in tracks for m in t.metrics})
    suite = msgspec.structs.replace(suite, seed=seed)
    return Plan(
        suite=suite,
        tracks=tuple(tracks),
        pairs=tuple(pairs),
        cells=tuple(cells),
        options=options,
        reader=reader,
        surrogates={spec: built.model for spec, built in asked.items()},
    )


class _Built(NamedTuple):
    """A model and the code that it was built from."""

    model: AnyModel
    code: Dependencies


class _Data(NamedTuple):
    """A data set, what it was asked for as, what it lends to edits, and the code that it was built from."""

    spec: str
    dataset: Dataset
    donors: Donors
    code: Dependencies


def _models_by_spec(options: Options, reader: DependencyReader) -> dict[str, _Built]:
    """The models of the options by spec; two of one name that were handed over built, of different tasks, are told apart by task."""
    asked: dict[str, _Built] = {}
    for model in options.models:
        if isinstance(model, str):
            asked[model] = _build_model(model, options.device, reader)
        else:
            spec = f"object:{model.info.name}"
            asked[spec if spec not in asked else f"{spec}-{model.info.task}"] = _Built(model, model_code(reader, model))
    return asked


def _build_model(spec: str, device: str, reader: DependencyReader) -> _Built:
    model, code = built_with_code(reader, lambda: build(spec, device=device))
    return _Built(model, code | reader.of(["robustbench_cv.models.build"]))


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


def _chosen_tracks(suite: Suite, models: Sequence[AnyModel]) -> list[Track]:
    for model in models:
        require_classes(model)
    tasks = {m.info.task for m in models}
    chosen = [t for t in suite.tracks if not tasks or t.task in tasks]
    missing = tasks - {t.task for t in chosen}
    if missing:
        offered = sorted({t.task for t in suite.tracks})
        raise UserError(f"suite {suite.name!r} has no {sorted(missing)[0]} track for these models; it has {', '.join(offered)}")
    return chosen


def _dataset(spec: str, track: Track, options: Options, reader: DependencyReader) -> _Data:
    samples = options.limit or track.samples
    more: dict[str, Any] = {"task": track.task}
    if samples is not None and "samples" not in Spec.parse(spec).args:
        more["samples"] = samples
    dataset, code = built_with_code(reader, lambda: DATASETS.build(spec, **more))
    if dataset.task != track.task:
        raise UserError(f"data {spec!r} is for {dataset.task}, this track is {track.task}; name data of that task with --data")
    return _Data(spec, dataset, Donors(_whole(spec, dataset)), code)


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


def _pair(built: _Built, row: ModelRow, data: _Data, track: Track, options: Options, folder: RunFolder | None) -> Pair:
    model, dataset, spec = built.model, data.dataset, data.spec
    class_map = ClassMap.match(dataset.labels, model.info.classes, options.class_map or {})
    _require_text(f"model {row.spec!r}", (row.name, *row.classes))
    _require_text(f"data {spec!r}", (dataset.name, *dataset.labels.names, *dataset.ids))
    with calling(f"data {spec!r}", lambda: True):
        # Not every reader takes `samples`, and a spec may say a number of its own.
        most = options.limit or (None if "samples" in Spec.parse(spec).args else track.samples)
        indices, fingerprints = _choose_samples(dataset, spec, most)
    dataset_row = DatasetRow(dataset.name, spec, dataset.task, len(indices), digest([dataset.ids[i] for i in indices]))
    return Pair(
        model=model,
        row=row,
        dataset=dataset,
        dataset_row=dataset_row,
        class_map=class_map,
        indices=indices,
        fingerprints=fingerprints,
        donors=data.donors,
        code=built.code | data.code,
        answers=identify(folder, [row, dataset.name], model, dataset, indices, options.device),
    )


def _require_text(whose: str, names: Sequence[str]) -> None:
    """UserError for a name that no file can hold."""
    for name in names:
        if encodable(name) != name:
            raise UserError(f"{whose}: the name {name!r} is no text (a file name that is not UTF-8?); rename it")


def _choose_samples(dataset: Dataset, spec: str, most: int | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The positions of the samples of a run, and their fingerprints."""
    count = len(dataset) if most is None else min(most, len(dataset))
    if count == 0:
        raise UserError(f"data {spec!r} holds no sample")
    # by a hash of the id: any limit is a fair draw (folders are sorted by class), and a larger one holds a smaller one's shards
    indices = tuple(sorted(range(len(dataset)), key=lambda i: digest(dataset.ids[i]))[:count])
    return indices, tuple(dataset.fingerprint(i) for i in indices)


@dataclass(frozen=True, eq=False)
class _Parts:
    """What the cells of a condition depend on: code, the surrogates that its attack asks, whether donors are taken, a smaller budget."""

    code: Dependencies
    surrogates: dict[str, AnyModel]
    takes_donors: bool
    base: Condition | None


class _CellMaker:
    """The cells of one track, a pair at a time. Every part of a condition is built once, to see what code it comes from.

    asked: the models that attacks transfer from, by spec; new ones are added.
    """

    def __init__(
        self,
        suite: Suite,
        seed: int,
        track: Track,
        conditions: Sequence[Condition],
        options: Options,
        reader: DependencyReader,
        folder: RunFolder | None,
        asked: dict[str, _Built],
    ) -> None:
        self._suite, self._seed, self._track, self._conditions = suite, seed, track, conditions
        self._options, self._reader, self._folder = options, reader, folder
        self._asked = asked
        self._surrogate_answers: dict[tuple[str, str], str] = {}
        self._parts = {c.name: self._parts_of(c, conditions[:i]) for i, c in enumerate(conditions)}

    def cells(self, pair: Pair) -> Iterator[PlannedCell]:
        """One for each condition and shard."""
        made: dict[str, list[PlannedCell]] = {}
        _, metrics = built_with_code(self._reader, lambda: [build_metric(name, pair.row) for name in self._track.metrics])
        for condition in self._conditions:
            base = self._parts[condition.name].base
            below = [c.row for c in made[base.name]] if base else []
            made[condition.name] = list(self._shards(pair, condition, metrics, below))
            yield from made[condition.name]

    def _parts_of(self, condition: Condition, before: Sequence[Condition]) -> _Parts:
        edits, code = built_with_code(self._reader, lambda: [INTERVENTIONS.build(spec) for spec in condition.interventions])
        attack, attack_code = built_with_code(self._reader, lambda: attack_of(condition))
        asked = dict.fromkeys(surrogates(attack) if attack is not None else ())
        for spec in asked:
            if spec not in self._asked:
                self._asked[spec] = _build_model(spec, self._options.device, self._reader)
            code |= self._asked[spec].code
        takes_donors = any(isinstance(edit, NeedsDonors) for edit in edits)
        base = smaller_budget(condition, before, self._track.task)
        return _Parts(code | attack_code, {spec: self._asked[spec].model for spec in asked}, takes_donors, base)

    def _shards(self, pair: Pair, condition: Condition, metrics: Dependencies, below: Sequence[CellRow]) -> Iterator[PlannedCell]:
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
            "surrogates": [[spec, _weights(model), self._answers(spec, model, pair)] for spec, model in parts.surrogates.items()],
            "model": pair.identity,
            "dataset": [pair.dataset_row.name, pair.dataset_row.spec],
            "class_map": pair.class_map.key(),
            "condition": condition,
            "metrics": track.metrics,
            "suite": [self._suite.name, self._suite.version, self._seed],
            "device": self._options.device.partition(":")[0],
        }
        for start in range(0, len(pair.indices), SHARD):
            indices = pair.indices[start : start + SHARD]
            pictures = PICTURES if start == 0 else 0
            ids = [pair.dataset.ids[i] for i in indices]
            data = [[id_, f] for id_, f in zip(ids, pair.fingerprints[start : start + SHARD], strict=True)]
            lent = pair.donors.fingerprints(ids, self._seed) if parts.takes_donors else []
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
                fit=fit,
                base=base,
            )

    def _answers(self, spec: str, surrogate: AnyModel, pair: Pair) -> str:
        key = (spec, pair.dataset_row.name)
        if key not in self._surrogate_answers:
            subject = [spec, _weights(surrogate), pair.dataset_row.name]
            self._surrogate_answers[key] = identify(self._folder, subject, surrogate, pair.dataset, pair.indices, self._options.device)
        return self._surrogate_answers[key]


def _metric_row(name: str, row: ModelRow) -> MetricRow:
    return MetricRow.of(name, build_metric(name, row))


def _refuse_equal_names(pairs: Sequence[Pair]) -> None:
    seen: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        name = (pair.row.name, pair.dataset_row.name)
        if name in seen and seen[name].row.task == pair.row.task:
            raise UserError(f"two models of this run are called {name[0]!r} on {name[1]!r}; give one another name=... in its spec")
        seen[name] = pair


__all__ = ["PICTURES", "SHARD", "Options", "Pair", "Plan", "PlannedCell", "make_plan", "with_controls"]
