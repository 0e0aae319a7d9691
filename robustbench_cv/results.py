"""A run, read back: its configuration, its records, and the numbers that reports are made of. Nothing here writes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy
import pandas

from robustbench_cv.catalogue import METRICS, REPORTS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.files import load_json
from robustbench_cv.findings import Finding
from robustbench_cv.metrics.intervals import difference_in_differences, estimate
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.robust import AttackSuccess, attack_success, worst_case
from robustbench_cv.records import AttackTrace, read_parts
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.suite import Condition, Gate, Kind
from robustbench_cv.tasks import Task
from robustbench_cv.types import Evidence, Labels

SCHEMA_VERSION = 1

_AGAIN = "delete it, and the same `robustbench-cv run` makes it again"

T = TypeVar("T")

Report: TypeAlias = Callable[["Results"], Any]
"""Results in; a Table, a Chart, a Gallery or a sequence of them out."""


class ModelRow(msgspec.Struct, frozen=True):
    """A model of the run. classes: its class names by index."""

    name: str
    spec: str
    task: Task
    classes: tuple[str, ...]
    parameters: int
    weights_sha256: str
    operating_score: float


class DatasetRow(msgspec.Struct, frozen=True):
    """A data set of the run. n: samples used; ids_sha256: of their ids in order."""

    name: str
    spec: str
    task: Task
    n: int
    ids_sha256: str


class MetricRow(msgspec.Struct, frozen=True):
    """A metric of a track, by the name it was asked for."""

    name: str
    evidence_key: str
    higher_is_better: bool
    is_rate: bool


class CellRow(msgspec.Struct, frozen=True):
    """A unit of work: the records of `n` samples are in records/<key>.parquet once it is done."""

    key: str
    task: Task
    model: str
    dataset: str
    condition: str
    n: int


class Pairing(msgspec.Struct, frozen=True):
    """How a data set's classes were matched with a model's, as text."""

    model: str
    dataset: str
    class_map: str


class TrackRow(msgspec.Struct, frozen=True):
    """One task of the run: names of models and data sets, every condition with its controls, the metrics."""

    task: Task
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    conditions: tuple[Condition, ...]
    metrics: tuple[MetricRow, ...]


class ComplexityRow(msgspec.Struct, frozen=True):
    """What a model costs on one image of a data set, image (h, w) px: macs multiply-adds, None where the note says why not."""

    model: str
    dataset: str
    macs: int | None
    image: tuple[int, ...]
    note: str = ""


class RunInfo(msgspec.Struct, frozen=True):
    """What run.json holds: everything needed to repeat the run and to read its records."""

    suite: str
    version: int
    seed: int
    command: str
    created: str
    device: str
    versions: dict[str, str]
    code_sha256: str
    tracks: tuple[TrackRow, ...]
    models: tuple[ModelRow, ...]
    datasets: tuple[DatasetRow, ...]
    pairings: tuple[Pairing, ...]
    cells: tuple[CellRow, ...]
    gates: tuple[Gate, ...] = ()
    reports: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    complexity: tuple[ComplexityRow, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def track(self, task: Task) -> TrackRow:
        return next(t for t in self.tracks if t.task == task)

    def metrics(self, task: Task) -> tuple[MetricRow, ...]:
        return self.track(task).metrics


@dataclass(frozen=True)
class Group:
    """One row-block of a table: a model on a data set."""

    task: Task
    model: str
    dataset: str


@dataclass(frozen=True)
class Effect:
    """What an intervention did to a metric, after minus before on the same samples; its placebo's; and the first minus the second."""

    effect: Estimate
    control: Estimate | None
    difference: Estimate | None


@dataclass(frozen=True)
class Cost:
    """What an attack spent per sample (means), and the share of samples whose every gradient was zero."""

    radius: float | None
    size: float
    forwards: float
    backwards: float
    zero_grads: float


@dataclass(frozen=True)
class Picture:
    """A sample before and after a condition, as saved: PNG paths, and predictions in the form of `predictions.to_json`."""

    group: Group
    condition: str
    sample: str
    before: Path
    after: Path
    before_prediction: dict[str, Any]
    after_prediction: dict[str, Any]
    class_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Results:
    """A finished (or unfinished) run. records: the fields of Record as columns, JSON fields decoded."""

    run: RunInfo
    records: pandas.DataFrame
    findings: tuple[Finding, ...] = ()
    folder: Path | None = None

    @classmethod
    def open(cls, folder: Path) -> Results:
        """Read a run folder. UserError where there is none, or where it was written by a newer version."""
        run = read_run(folder)
        files = RunFolder(folder)
        parts = [files.part(cell.key) for cell in run.cells]
        findings = load_json(files.findings, tuple[Finding, ...], remedy=_AGAIN) if files.findings.exists() else ()
        return cls(run, read_parts([p for p in parts if p.exists()]), findings, folder)

    def groups(self) -> list[Group]:
        """Every model on every data set, in the order of the suite."""
        return [Group(t.task, model, dataset) for t in self.run.tracks for model in t.models for dataset in t.datasets]

    def conditions(self, task: Task, kind: Kind | None = None) -> list[Condition]:
        return [c for c in self.run.track(task).conditions if kind is None or c.kind == kind]

    def metrics(self, task: Task) -> list[str]:
        """Names of a task's metrics; the first is the primary one."""
        return [m.name for m in self.run.metrics(task)]

    def model_row(self, group: Group) -> ModelRow:
        return next(m for m in self.run.models if (m.name, m.task) == (group.model, group.task))

    def complexity(self, group: Group) -> ComplexityRow | None:
        """What the model costs on an image of the data set; None where the run did not count it."""
        return next((c for c in self.run.complexity if (c.model, c.dataset) == (group.model, group.dataset)), None)

    def metric(self, group: Group, name: str) -> Metric:
        """A metric as it was during the run, for this group's model."""
        row = self.model_row(group)
        return METRICS.build(name, labels=Labels(row.classes), operating_score=row.operating_score)

    @functools.cached_property
    def _by_cell(self) -> dict[tuple[str, str, str, str], pandas.DataFrame]:
        keys = ["task", "model", "dataset", "condition"]
        return dict(iter(self.records.groupby(keys, sort=False)))  # type: ignore[arg-type]

    def rows(self, group: Group, condition: str) -> pandas.DataFrame:
        """The records of one group under one condition; empty where none was made."""
        found = self._by_cell.get((group.task, group.model, group.dataset, condition))
        return self.records.iloc[:0] if found is None else found

    def evidence(self, group: Group, condition: str, metric: str, *, reference: bool = False) -> dict[str, Evidence]:
        """Evidence by sample id, of the samples that have it. reference: of the unedited image instead."""
        rows, key = self.rows(group, condition), self.metric(group, metric).evidence_key
        column = "reference" if reference else "evidence"
        return {sample: values[key] for sample, values in zip(rows["sample"], rows[column], strict=True) if key in values}

    def estimate(self, group: Group, condition: str, metric: str) -> Estimate:
        """A metric under a condition with its 95 % interval. Blocked or undefined: value None, with the reason."""
        blocked = self.blocked(group, condition)
        if blocked:
            return Estimate(None, None, None, 0, reason=f"blocked: {blocked}")
        evidence = list(self.evidence(group, condition, metric).values())
        excluded = len(self.rows(group, condition)) - len(evidence)
        return self._cached(("estimate", group, condition, metric), lambda: self._estimate(group, metric, evidence, excluded))

    def _estimate(self, group: Group, metric: str, evidence: Sequence[Evidence], excluded: int) -> Estimate:
        return estimate(self.metric(group, metric), evidence, excluded=excluded, seed=self.run.seed)

    def effect(self, group: Group, condition: str, metric: str) -> Effect:
        """After minus before of an intervention, of its control, and the difference of the two on the samples that have all four.

        NotApplicable where a check blocks the numbers.
        """
        blocked = self.blocked(group, condition)
        if blocked:
            raise NotApplicable(f"blocked: {blocked}")
        controls = [c.name for c in self.conditions(group.task, "control") if c.control_of == condition]
        sides = [
            (self.evidence(group, name, metric), self.evidence(group, name, metric, reference=True)) for name in [condition, *controls[:1]]
        ]
        metric_, seed = self.metric(group, metric), self.run.seed
        control = sides[1] if controls else (None, None)
        return self._cached(
            ("effect", group, condition, metric), lambda: Effect(*difference_in_differences(metric_, *sides[0], *control, seed=seed))
        )

    def worst_case(self, group: Group, metric: str) -> Estimate:
        """A rate when each sample counts at its worst over clean and all attacks (never an average over attacks).

        NotApplicable for metrics that are no rate. Samples that failed under any attack are excluded.
        """
        if not self.metric(group, metric).is_rate:
            raise NotApplicable(f"{metric} is a ratio of sums: it has no per-sample worst case")
        names = [c.name for c in self.conditions(group.task) if c.kind in ("clean", "attack")]
        for name in names:
            blocked = self.blocked(group, name)
            if blocked:
                return Estimate(None, None, None, 0, reason=f"blocked: {blocked}")
        evidence = list(worst_case(self.metric(group, metric), [self.evidence(group, name, metric) for name in names]).values())
        return self._estimate(group, metric, evidence, len(self.rows(group, names[0])) - len(evidence))

    def attack_success(self, group: Group, condition: str, metric: str) -> AttackSuccess:
        """How many samples an attack broke, with every denominator. NotApplicable for metrics that are no rate of right answers."""
        row = self.metric(group, metric)
        if not (row.is_rate and row.higher_is_better):
            raise NotApplicable(f"{metric} does not say of one sample whether it is right")
        clean = self.evidence(group, self.conditions(group.task, "clean")[0].name, metric)
        return attack_success(clean, {s: v for s, v in self.evidence(group, condition, metric).items() if s in clean})

    def cost(self, group: Group, condition: str) -> Cost | None:
        """Means over the samples that were attacked; None for a condition without attack."""
        traces = [t for t in self.rows(group, condition)["attack"] if t is not None]
        if not traces:
            return None
        mean = {name: float(numpy.mean([t[name] for t in traces])) for name in ("size", "forwards", "backwards")}
        return Cost(traces[0]["radius"], **mean, zero_grads=float(numpy.mean([t["zero_grads"] >= 1.0 for t in traces])))

    def traces(self, group: Group, condition: str) -> pandas.DataFrame:
        """What the attack did to each sample that it was tried on, a row each with the fields of AttackTrace; empty without attack.

        Samples with nothing to attack, and those on which the model broke down, are left out.
        """
        rows = self.rows(group, condition)
        tried = rows[(rows["status"] == "ok") & (rows["reason"] == "") & rows["attack"].notna()]
        return pandas.DataFrame(list(tried["attack"]), columns=[f.name for f in fields(AttackTrace)])

    def flags(self, group: Group, condition: str | None = None) -> list[Finding]:
        """The warnings and stops that touch a group (and condition): those whose fields match or are empty."""
        return [
            f
            for f in self.findings
            if f.verdict in ("warn", "stop")
            and f.model in ("", group.model)
            and f.dataset in ("", group.dataset)
            and f.task in ("", group.task)
            and (condition is None or f.condition in ("", condition))
        ]

    def strength(self, group: Group, condition: str) -> Finding | None:
        """The verdict on an attack on a model: whether it looks strong or weak; None for what is no attack, or was not judged."""
        where = (group.task, group.model, group.dataset, condition)
        verdicts = (f for f in self.findings if f.code == "attack-strength")
        return next((f for f in verdicts if (f.task, f.model, f.dataset, f.condition) == where), None)

    def blocked(self, group: Group, condition: str) -> str | None:
        """Why a number may not be shown: the check that said stop; None where nothing did."""
        stops = [f for f in self.flags(group, condition) if f.verdict == "stop"]
        return f"{stops[0].check} {stops[0].title}" if stops else None

    def counts(self, group: Group, condition: str) -> dict[str, int]:
        """Samples by status."""
        return {str(k): int(v) for k, v in self.rows(group, condition)["status"].value_counts().items()}

    def reasons(self, group: Group, condition: str) -> dict[str, int]:
        """How often each reason excluded a sample."""
        reasons = self.rows(group, condition)["reason"]
        return {str(k): int(v) for k, v in reasons[reasons != ""].value_counts().items()}

    def pictures(self) -> list[Picture]:
        """The saved before-and-after pairs, in the order of the suite."""
        if self.folder is None:
            return []
        found = []
        for cell in self.run.cells:
            index = RunFolder(self.folder).image_index(cell.key)
            group = Group(cell.task, cell.model, cell.dataset)
            for item in json.loads(index.read_text()) if index.exists() else []:
                before, after = (index.parent / item[side]["image"] for side in ("before", "after"))
                predictions = item["before"]["prediction"], item["after"]["prediction"]
                names = self.model_row(group).classes
                found.append(Picture(group, cell.condition, item["sample"], before, after, *predictions, names))
        return found

    def table(self, report: str) -> pandas.DataFrame:
        """The frame of a report by name ("main-table", "context-sensitivity"); of its first part where it has several."""
        made = REPORTS.build(report)(self)
        frame: pandas.DataFrame = (made[0] if isinstance(made, tuple | list) else made).frame
        return frame

    def report(self, out: str | Path) -> list[Path]:
        """Write the run's reports (csv, md, tex, figures, one html page) under a folder; the paths."""
        from robustbench_cv.rendering.publish import publish

        return publish(self, Path(out), self.run.reports)

    @functools.cached_property
    def _cache(self) -> dict[tuple[object, ...], Any]:
        return {}

    def _cached(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        if key not in self._cache:
            self._cache[key] = make()
        found: T = self._cache[key]
        return found


def read_run(folder: Path) -> RunInfo:
    """The run.json of a folder. UserError where there is none or it cannot be read."""
    path = RunFolder(folder).run_info
    if not path.is_file():
        raise UserError(f"{folder} is no run folder: it has no run.json (robustbench-cv run SUITE --out {folder} makes one)")
    run: RunInfo = load_json(path, RunInfo, remedy=f"it may be of another version; {_AGAIN}")
    if run.schema_version > SCHEMA_VERSION:
        raise UserError(f"{path} has schema {run.schema_version}, this version reads up to {SCHEMA_VERSION}: upgrade robustbench-cv")
    return run
