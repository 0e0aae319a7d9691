"""A run, read back: its configuration, its records, and the numbers that reports are made of. Nothing here writes."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
import numpy
import pyarrow

from robustbench_cv import __version__
from robustbench_cv.adversary.attack_facts import AttackFacts, Norm
from robustbench_cv.adversary.entry_facts import EntryFacts
from robustbench_cv.arguments import shorten
from robustbench_cv.arrow_compute import compute
from robustbench_cv.catalogue import METRICS, build_stored
from robustbench_cv.check_findings import Finding
from robustbench_cv.errors import Damaged, NotApplicable, UserError, WrittenByNewer
from robustbench_cv.files import load_json
from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.interventions.corruption_facts import CorruptionFacts
from robustbench_cv.kept_files import load_kept
from robustbench_cv.metric_cache import EstimateCache
from robustbench_cv.metrics.context_association import Association
from robustbench_cv.metrics.corruption_robustness import CorruptionRobustness, corruption_robustness
from robustbench_cv.metrics.detection_attack import DetectionAttack, detection_attack
from robustbench_cv.metrics.evidence import Column, shared_ids
from robustbench_cv.metrics.failures import with_failures
from robustbench_cv.metrics.hallucination import REPORTED
from robustbench_cv.metrics.hallucination_base_rates import BaseRates, base_rates
from robustbench_cv.metrics.intervals import difference_in_differences, estimate, paired_difference
from robustbench_cv.metrics.metric import Estimate, Metric, Unit
from robustbench_cv.metrics.ratios import Background
from robustbench_cv.metrics.worst_case import AttackSuccess, attack_success, worst_case
from robustbench_cv.record_store import ConditionRecords, Place, RecordStore, Source, Stored
from robustbench_cv.records import ATTACK, EVIDENCE, AttackTrace
from robustbench_cv.run_folder import RunFolder, digest
from robustbench_cv.suite import Condition, Gate, Kind
from robustbench_cv.tasks import Task
from robustbench_cv.types import Labels

if TYPE_CHECKING:
    import pandas

    from robustbench_cv.gates import Verdict

SCHEMA_VERSION = 4

_AT_ONCE = 100_000
"""Records whose columns are held at a time, of whole conditions; two conditions always, which an effect and its control need."""

_AGAIN = "delete it, and the same `robustbench-cv run` makes it again"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")
"""Of a file that a run made itself: keys are hashes, pictures are numbered."""

T = TypeVar("T")


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


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a track, by the name it was asked for, with what it declares of itself (see Metric).

    high: None where there is no largest value. definition: the first line of its documentation. title: its name in words, "" where that is
    the name itself.
    """

    name: str
    evidence_key: str
    higher_is_better: bool
    is_rate: bool
    unit: Unit
    low: float
    high: float | None
    counts_absent: bool
    definition: str = ""
    title: str = ""

    @property
    def words(self) -> str:
        """What people call it: "mean IoU" for miou, "pixel accuracy" for pixel-accuracy."""
        return self.title or (self.name.replace("-", " ") if self.name.replace("-", "").isalpha() else self.name)

    @classmethod
    def of(cls, name: str, metric: Metric) -> MetricRow:
        """The row of a built metric. UserError where it does not declare what reports must know of it."""
        missing = [
            fact for fact in ("evidence_key", "higher_is_better", "is_rate", "unit", "range", "counts_absent") if not hasattr(metric, fact)
        ]
        if missing:
            raise UserError(f"metric {name!r} does not declare its {', '.join(missing)}; see Metric in robustbench_cv/metrics/metric.py")
        low, high = metric.range
        return cls(
            name=name,
            evidence_key=metric.evidence_key,
            higher_is_better=metric.higher_is_better,
            is_rate=metric.is_rate,
            unit=metric.unit,
            low=low,
            high=high,
            counts_absent=metric.counts_absent,
        )


class ConditionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the built parts of a condition declare. removes_objects: an edit takes objects away. attack, corruption, context: None where
    there is none. entry: of the attack in the catalogue; None also of runs by versions that did not store it."""

    removes_objects: bool = False
    attack: AttackFacts | None = None
    corruption: CorruptionFacts | None = None
    context: ContextFacts | None = None
    entry: EntryFacts | None = None


class CellRow(msgspec.Struct, frozen=True):
    """A unit of work: the records of `n` samples lie in the folder of its condition once it is done."""

    key: str
    task: Task
    model: str
    dataset: str
    condition: str
    n: int


class Pairing(msgspec.Struct, frozen=True):
    """How a data set's classes were matched with a model's, as text. summary: the same in one line, where all have the same names."""

    task: Task
    model: str
    dataset: str
    class_map: str
    summary: str = ""


class TrackRow(msgspec.Struct, frozen=True):
    """One task of the run: names of models and data sets, every condition with its controls, the metrics; facts of conditions by name."""

    task: Task
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    conditions: tuple[Condition, ...]
    metrics: tuple[MetricRow, ...]
    facts: dict[str, ConditionFacts] = {}


class ComplexityRow(msgspec.Struct, frozen=True):
    """What a model costs on one image of a data set, image (h, w) px: macs multiply-adds, None where the note says why not."""

    task: Task
    model: str
    dataset: str
    macs: int | None
    image: tuple[int, ...]
    note: str = ""


NO_ESTIMATE = Estimate(None, None, None, 0)


class ExplanationRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where one method finds a model's answers about the main objects of a data set: a class, or all classes together (label "").

    Rates 0-1; insertion and deletion as of `robustbench_cv.explain.insertion_deletion`. n: explained samples. relevance_mass,
    relevance_rank, pointing_game, pointing_chance (what a peak that falls anywhere would win) and excess (relevance mass less the object's
    share of the area) are of rightly answered samples alone.
    note: why there are no numbers.
    """

    task: Task
    model: str
    dataset: str
    method: str
    label: str = ""
    n: int = 0
    accuracy: Estimate = NO_ESTIMATE
    relevance_mass: Estimate = NO_ESTIMATE
    relevance_rank: Estimate = NO_ESTIMATE
    pointing_game: Estimate = NO_ESTIMATE
    pointing_chance: Estimate = NO_ESTIMATE
    insertion: Estimate = NO_ESTIMATE
    deletion: Estimate = NO_ESTIMATE
    area: Estimate = NO_ESTIMATE
    excess: Estimate = NO_ESTIMATE
    clever_hans: Literal["flagged", "no", "undecided"] = "undecided"
    note: str = ""


class AssociationRow(msgspec.Struct, frozen=True):
    """How often the classes and contexts of a data set meet, all of it counted, whatever part of it the run uses."""

    task: Task
    dataset: str
    association: Association


class ArchitectureRow(msgspec.Struct, frozen=True):
    """What the registry knows of a model's architecture, by the model's spec. year: None where it knows none."""

    spec: str
    year: int | None = None
    family: str = ""


class RunInfo(msgspec.Struct, frozen=True):
    """What run.json holds: everything needed to repeat the run and to read its records.

    licences, limits: by the spec of a model or data set, where one is declared: under what it may be used, and what its pictures are not
    good for. environment: the interpreter and the operating system.
    """

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
    explanations: tuple[ExplanationRow, ...] = ()
    architectures: tuple[ArchitectureRow, ...] = ()
    associations: tuple[AssociationRow, ...] = ()
    licences: dict[str, str] = {}
    limits: dict[str, str] = {}
    environment: dict[str, str] = {}
    schema_version: int = SCHEMA_VERSION

    def track(self, task: Task) -> TrackRow:
        track = next((t for t in self.tracks if t.task == task), None)
        if track is None:
            raise UserError(f"run.json has no track for {task}: it is damaged; {_AGAIN}")
        return track

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
class Budget:
    """One radius of one norm, with the attacks that have it."""

    norm: Norm
    radius: float
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Chance:
    """A model's primary metric on clean images beside what an answer that does not look at them would score."""

    metric: str
    estimate: Estimate
    chance: float


@dataclass(frozen=True)
class Cost:
    """What an attack spent per sample (means), and the share of samples whose every gradient was zero."""

    radius: float | None
    size: float
    forwards: float
    backwards: float
    zero_grads: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A sample before and after a condition, as saved: PNG paths, and predictions in the form of `predictions.to_json`.

    before_truth, after_truth: what is right of each, in the same form without scores; empty in runs that did not keep it.
    """

    group: Group
    condition: str
    sample: str
    before: Path
    after: Path
    before_prediction: dict[str, Any]
    after_prediction: dict[str, Any]
    class_names: tuple[str, ...]
    before_truth: dict[str, Any] = field(default_factory=dict)
    after_truth: dict[str, Any] = field(default_factory=dict)


def undefined(blocked: str) -> Estimate:
    """A number that a check forbids."""
    return Estimate(None, None, None, 0, reason=f"blocked: {blocked}")


@dataclass(frozen=True, eq=False)
class Results:
    """A finished (or unfinished) run. source: where its records are read from, a condition at a time.

    typed: specs (mine.py:metric) that whoever made the run typed; what else the folder names must be registered, see `build_stored`.
    """

    run: RunInfo
    source: Source
    findings: tuple[Finding, ...] = ()
    folder: Path | None = None
    typed: frozenset[str] = frozenset()

    @classmethod
    def open(cls, folder: Path, typed: Collection[str] = ()) -> Results:
        """Read a run folder. UserError where there is none, where a file of it is damaged, or where another version wrote it."""
        run = read_run(folder)
        files = RunFolder(folder)
        findings = load_kept(files.findings, tuple[Finding, ...], remedy=_AGAIN) if files.findings.exists() else ()
        return cls(run, Stored(RecordStore(files), run.cells), findings, folder, frozenset(typed))

    @property
    def records(self) -> pandas.DataFrame:
        """Every record as a row with the fields of Record: all of them in memory at once; `query` reads what it needs alone."""
        import pandas

        from robustbench_cv.records import Record, as_rows, to_records

        rows = [row for table in self.source.tables() for row in as_rows(to_records(table))]
        frame = pandas.DataFrame(rows, columns=[f.name for f in fields(Record)])
        return frame.astype({"suite_version": "int64", "seed": "int64"})

    def query(self, sql: str) -> pandas.DataFrame:
        """What a SQL statement says of the run, by DuckDB. UserError where that is not installed, or the statement is wrong.

        Tables: `records`, a row for each model, condition and sample, with columns such as "evidence.top-1" and "attack.success"; and
        `summary`, a row for each number of summary.csv.
        """
        import robustbench_cv

        frame: pandas.DataFrame = robustbench_cv.query(self, sql)
        return frame

    def groups(self) -> list[Group]:
        """Every model on every data set, in the order of the suite."""
        return [Group(t.task, model, dataset) for t in self.run.tracks for model in t.models for dataset in t.datasets]

    def conditions(self, task: Task, kind: Kind | None = None) -> list[Condition]:
        return [c for c in self.run.track(task).conditions if kind is None or c.kind == kind]

    def metrics(self, task: Task) -> list[str]:
        """Names of a task's metrics; the first is the primary one."""
        return [m.name for m in self.run.metrics(task)]

    def metric_row(self, task: Task, name: str) -> MetricRow:
        """What a metric declares of itself: of a track's own as it was during the run, of any other as it is built now."""
        row = next((m for m in self.run.metrics(task) if m.name == name), None)
        if row is not None:
            return row
        group = next(g for g in self.groups() if g.task == task)
        return MetricRow.of(name, self.metric(group, name))

    def facts(self, task: Task, condition: str) -> ConditionFacts:
        """What the built attack and edits of a condition declare."""
        return self.run.track(task).facts.get(condition, ConditionFacts())

    def model_row(self, group: Group) -> ModelRow:
        """By name and task: two tasks may have models of one name."""
        row = next((m for m in self.run.models if (m.name, m.task) == (group.model, group.task)), None)
        if row is None:
            raise UserError(f"run.json names the model {group.model!r} for {group.task} and does not describe it: it is damaged; {_AGAIN}")
        return row

    def architecture(self, group: Group) -> ArchitectureRow:
        """What is known of the model's architecture; a row without year and family where nothing is."""
        spec = self.model_row(group).spec
        return next((a for a in self.run.architectures if a.spec == spec), ArchitectureRow(spec))

    def complexity(self, group: Group) -> ComplexityRow | None:
        """What the model costs on an image of the data set; None where the run did not count it."""
        wanted = (group.task, group.model, group.dataset)
        return next((c for c in self.run.complexity if (c.task, c.model, c.dataset) == wanted), None)

    def explanations(self, group: Group) -> tuple[ExplanationRow, ...]:
        """Where its answers come from, by method and class; none where the suite asks for none."""
        wanted = (group.task, group.model, group.dataset)
        return tuple(row for row in self.run.explanations if (row.task, row.model, row.dataset) == wanted)

    def association(self, group: Group) -> Association | None:
        """How often the classes and contexts of the group's data meet; None where the run compares none."""
        where = (group.task, group.dataset)
        return next((row.association for row in self.run.associations if (row.task, row.dataset) == where), None)

    def metric(self, group: Group, name: str) -> Metric:
        """A metric as it was during the run, for this group's model."""
        row = self.model_row(group)
        return build_stored(METRICS, name, self.typed, labels=Labels(row.classes), operating_score=row.operating_score)

    def rows(self, group: Group, condition: str) -> ConditionRecords:
        """The records of one group under one condition, column by column; empty where none was made."""
        place = Place(group.task, group.model, group.dataset, condition)
        if place not in self._read:
            self._read[place] = self.source.at(place)
            while len(self._read) > 2 and sum(map(len, self._read.values())) > _AT_ONCE:
                del self._read[next(iter(self._read))]
        return self._read[place]

    def evidence(self, group: Group, condition: str, metric: str, *, reference: bool = False) -> Column:
        """Evidence of the samples that have it. reference: of the unedited image instead."""
        built = self.metric(group, metric)
        return self.rows(group, condition).evidence(built.evidence_key, built.evidence_type, reference=reference)

    def estimate(self, group: Group, condition: str, metric: str, *, reference: bool = False, paired: bool = False) -> Estimate:
        """A metric under a condition with its 95 % interval. Blocked or undefined: value None, with the reason.

        reference: of the unedited images instead. paired: over the samples of `effect` alone.
        """
        if blocked := self.stop_reason(group, condition):
            return Estimate(None, None, None, 0, reason=f"blocked: {blocked}")
        involved = [condition, *(self.controls(group.task, condition) if paired else ())]

        def make() -> Estimate:
            rows, built = self.rows(group, condition), self.metric(group, metric)
            if paired:
                values = (
                    self.evidence(group, condition, metric, reference=reference).only(self._paired_ids(group, condition, metric)).values
                )
            else:
                values = rows.values(built.evidence_key, reference=reference)
                values = pyarrow.array([], built.evidence_type) if values is None else values
            return self._estimate(group, metric, values, len(rows) - len(values), len(self.failed_samples(group, condition)))

        return self.remember("estimate", group, involved, metric, Estimate, make, reference, paired)

    def _estimate(self, group: Group, metric: str, evidence: pyarrow.Array, excluded: int, failed: int) -> Estimate:
        built = self.metric(group, metric)
        return with_failures(estimate(built, evidence, excluded=excluded), built, failed)

    def failed_samples(self, group: Group, condition: str) -> frozenset[str]:
        """The samples that should have an outcome and have none: the model answered NaN, or the file could not be read."""
        rows = self.rows(group, condition)
        failed = rows.has_status("failed")
        return frozenset(rows.samples.filter(failed).to_pylist()) if failed.true_count else frozenset()

    def failed_under(self, group: Group, names: Sequence[str]) -> int:
        """How many samples failed under any of these conditions."""
        return len(frozenset().union(*(self.failed_samples(group, name) for name in names)))

    def chance(self, group: Group) -> Chance | None:
        """Where the clean number cannot be told from an answer that does not look at the image; None elsewhere.

        By the lower end of the 95 % interval (project choice); a single sample, without an interval, by its value.
        """
        clean, metric = self.conditions(group.task, "clean"), self.metrics(group.task)[0]
        if not clean or not self.metric_row(group.task, metric).higher_is_better:
            return None
        name = clean[0].name
        number = self.estimate(group, name, metric)
        least = number.low if number.low is not None else number.value

        def make() -> float | None:
            return self.metric(group, metric).chance(self.evidence(group, name, metric).values)

        guess = self.remember("chance", group, [name], metric, float | None, make)
        return None if least is None or guess is None or least > guess else Chance(metric, number, guess)

    def _paired_ids(self, group: Group, condition: str, metric: str) -> pyarrow.Array:
        """The samples that `effect` is of: those with evidence before and after the intervention, and before and after its control."""
        names = [condition, *self.controls(group.task, condition)]
        return shared_ids([self.evidence(group, name, metric, reference=reference) for name in names for reference in (False, True)])

    def controls(self, task: Task, condition: str) -> list[str]:
        """The placebo of an intervention, by name; empty where it has none."""
        return [c.name for c in self.conditions(task, "control") if c.control_of == condition][:1]

    def base_rates(self, group: Group, condition: str, metric: str) -> BaseRates | None:
        """What a rate of removed classes that are still reported must be held against; None where nothing of that was kept."""
        background = getattr(self.metric(group, metric), "background", None)
        clean = self.conditions(group.task, "clean")
        if not isinstance(background, Background) or background.type != REPORTED or not clean or self.stop_reason(group, condition):
            return None
        controls = self.controls(group.task, condition)
        kind, names = background.type, [condition, *controls, clean[0].name]
        if background.key not in self.evidence_keys(group, condition):
            return None

        def make() -> BaseRates:
            kept = [self.rows(group, name).evidence(background.key, kind) for name in names]
            return base_rates(kept[0], kept[1] if controls else {}, kept[-1])

        return self.remember("base rates", group, names, metric, BaseRates, make, background.key)

    def evidence_keys(self, group: Group, condition: str) -> frozenset[str]:
        """Of the evidence that some sample has."""
        rows = self.rows(group, condition)
        keys = [name.removeprefix(EVIDENCE) for name in rows.names if name.startswith(EVIDENCE)]
        return frozenset(key for key in keys if len(rows.values(key) or ()))

    def effect(self, group: Group, condition: str, metric: str) -> Effect:
        """After minus before of an intervention, of its control, and the difference of the two on the samples that have all four.

        NotApplicable where a check blocks the numbers.
        """
        if blocked := self.stop_reason(group, condition):
            raise NotApplicable(f"blocked: {blocked}")
        names = [condition, *self.controls(group.task, condition)]

        def make() -> Effect:
            sides = [self.evidence(group, name, metric, reference=reference) for name in names for reference in (False, True)]
            failed = self.failed_under(group, names)
            difference = difference_in_differences(self.metric(group, metric), *sides)
            return Effect(*(None if e is None else replace(e, failed=failed) for e in difference))  # type: ignore[arg-type]

        return self.remember("effect", group, names, metric, Effect, make)

    def difference(self, group: Group, condition: str, other: str, metric: str) -> Estimate:
        """A metric under one condition less under another, over the samples that both have."""
        names = [condition, other]
        if blocked := self.first_stop(group, names):
            return undefined(blocked)

        def make() -> Estimate:
            made = paired_difference(self.metric(group, metric), *(self.evidence(group, name, metric) for name in names))
            return replace(made, failed=self.failed_under(group, names))

        return self.remember("difference", group, names, metric, Estimate, make)

    def corruption_robustness(self, group: Group, conditions: Sequence[str], metric: str) -> CorruptionRobustness:
        """P, mPC and rPC of a metric over these conditions. Where a check blocks one of them all are undefined, with the reason."""
        names = [self.conditions(group.task, "clean")[0].name, *conditions]
        blocked = next((reason for name in names if (reason := self.stop_reason(group, name))), None)
        if blocked:
            return CorruptionRobustness(*[Estimate(None, None, None, 0, reason=f"blocked: {blocked}")] * 3)

        def make() -> CorruptionRobustness:
            sides = [self.evidence(group, name, metric) for name in names]
            failed = self.failed_under(group, names)
            made = corruption_robustness(self.metric(group, metric), sides[0], sides[1:])
            return CorruptionRobustness(*(replace(e, failed=failed) for e in made))

        return self.remember("corruption robustness", group, names, metric, CorruptionRobustness, make)

    def budgets(self, task: Task) -> list[Budget]:
        """Every radius of every norm of the change that an attack of the task is bounded by, in the order of the suite."""
        budgets_by_norm: dict[tuple[Norm, str], Budget] = {}
        for condition in self.conditions(task, "attack"):
            facts = self.facts(task, condition.name).attack
            if facts is None or facts.radius is None or facts.norm not in ("linf", "l2", "l1", "l0"):
                continue
            key = facts.norm, f"{facts.radius:.9g}"
            names = (*budgets_by_norm[key].conditions, condition.name) if key in budgets_by_norm else (condition.name,)
            budgets_by_norm[key] = Budget(facts.norm, facts.radius, names)
        return list(budgets_by_norm.values())

    def worst_case(self, group: Group, metric: str, budget: Budget) -> Estimate:
        """A rate when each sample counts at its worst over clean and the attacks of one budget (never an average over attacks).

        NotApplicable for metrics that are no rate. Samples that failed under any of these are excluded, and counted as failed.
        """
        if not self.metric(group, metric).is_rate:
            raise NotApplicable(f"{metric} is a ratio of sums: it has no per-sample worst case")
        return self.worst_over(group, metric, [*(c.name for c in self.conditions(group.task, "clean")[:1]), *budget.conditions])

    def worst_over(self, group: Group, metric: str, names: Sequence[str]) -> Estimate:
        """A rate when each sample counts at its worst over these conditions, over the samples that all of them have."""
        if blocked := self.first_stop(group, names):
            return undefined(blocked)

        def make() -> Estimate:
            worst = worst_case(self.metric(group, metric), [self.evidence(group, name, metric) for name in names])
            failed = self.failed_under(group, names)
            return self._estimate(group, metric, worst.values, len(self.rows(group, names[0])) - len(worst), failed)

        return self.remember("worst case", group, names, metric, Estimate, make)

    def attack_success(self, group: Group, condition: str, metric: str) -> AttackSuccess:
        """How many samples an attack broke, with every denominator. NotApplicable for metrics that are no rate of right answers."""
        row = self.metric(group, metric)
        if not (row.is_rate and row.higher_is_better):
            raise NotApplicable(f"{metric} does not say of one sample whether it is right")
        clean = self.evidence(group, self.conditions(group.task, "clean")[0].name, metric)
        return attack_success(clean, self.evidence(group, condition, metric).only(clean.ids))

    def detection_attack(self, group: Group, condition: str, metric: str) -> DetectionAttack:
        """What an attack did to a detector's objects. metric: any whose evidence is what became of each object."""
        names = [self.conditions(group.task, "clean")[0].name, condition]

        def make() -> DetectionAttack:
            sides = [self.evidence(group, name, metric) for name in names]
            failed = self.failed_under(group, names)
            made = detection_attack(*sides)
            return DetectionAttack(made.n_reference, *(replace(e, failed=failed) for e in made[1:]))

        return self.remember("detection attack", group, names, metric, DetectionAttack, make)

    def cost(self, group: Group, condition: str) -> Cost | None:
        """Means over the samples that were attacked; None for a condition without attack."""
        traces = self._traces(group, condition, only_tried=False)
        if not len(traces["success"]):
            return None
        mean = {name: float(numpy.mean(traces[name].to_numpy())) for name in ("size", "forwards", "backwards")}
        zero_grads = float(numpy.mean(traces["zero_grads"].to_numpy() >= 1.0))
        return Cost(traces["radius"][0].as_py(), **mean, zero_grads=zero_grads)

    def traces(self, group: Group, condition: str) -> pandas.DataFrame:
        """What the attack did to each sample that it was tried on, a row each with the fields of AttackTrace; empty without attack.

        Samples with nothing to attack, and those on which the model broke down, are left out.
        """
        import pandas

        traces = self._traces(group, condition, only_tried=True)
        return pandas.DataFrame({f.name: traces[f.name].to_pandas() for f in fields(AttackTrace)})

    def broken(self, group: Group, condition: str) -> Column:
        """Whether the attack broke each sample that it was tried on, by its own criterion."""
        traces = self._traces(group, condition, only_tried=True)
        return Column(traces["sample"], traces["success"])

    def _traces(self, group: Group, condition: str, *, only_tried: bool) -> dict[str, pyarrow.Array]:
        """The samples with a trace, and its fields. only_tried: without those on which there was nothing to do, or that failed."""
        rows = self.rows(group, condition)
        chosen = rows.column(f"{ATTACK}success").is_valid()
        if only_tried:
            plain = compute.and_(rows.has_status("ok"), compute.equal(rows.column("reason"), ""))
            chosen = compute.and_(chosen, plain)
        columns = {"sample": rows.samples} | {f.name: rows.column(ATTACK + f.name) for f in fields(AttackTrace)}
        return {name: column.filter(chosen) for name, column in columns.items()}

    def flags(self, group: Group, condition: str | None = None) -> list[Finding]:
        """The warnings and stops that touch a group (and condition): those whose fields match or are empty."""
        return [
            f
            for f in self.findings
            if f.verdict in ("warn", "stop")
            and f.task in ("", group.task)
            and f.model in ("", group.model)
            and f.dataset in ("", group.dataset)
            and (condition is None or f.condition in ("", condition))
        ]

    def strength(self, group: Group, condition: str) -> Finding | None:
        """The verdict on an attack on a model: whether it looks strong or weak; None for what is no attack, or was not judged."""
        where = (group.task, group.model, group.dataset, condition)
        return next((f for f in self.findings if f.is_strength and (f.task, f.model, f.dataset, f.condition) == where), None)

    def stop_reason(self, group: Group, condition: str) -> str | None:
        """Why a number may not be shown: the check that said stop; None where nothing did."""
        stops = [f for f in self.flags(group, condition) if f.verdict == "stop"]
        return f"{stops[0].check} {stops[0].title}" if stops else None

    def first_stop(self, group: Group, names: Sequence[str]) -> str | None:
        """Why a number made of several conditions may not be shown; None where nothing stops any of them."""
        return next((reason for name in names if (reason := self.stop_reason(group, name))), None)

    def counts(self, group: Group, condition: str) -> dict[str, int]:
        """Samples by status."""
        return dict(Counter(self.rows(group, condition).column("status").to_pylist()).most_common())

    def reasons(self, group: Group, condition: str) -> dict[str, int]:
        """How often each reason excluded a sample."""
        rows = self.rows(group, condition)
        return _counted(rows.column("reason").filter(compute.invert(rows.has_status("ok"))))

    def not_attacked(self, group: Group, condition: str) -> dict[str, int]:
        """How often each reason left a sample as it was: an attack had nothing to aim at there, and the sample counts as it is."""
        rows = self.rows(group, condition)
        return _counted(rows.column("reason").filter(compute.equal(rows.column("reason_code"), "nothing-to-attack")))

    def pictures(self) -> list[Picture]:
        """The saved before-and-after pairs, in the order of the suite."""
        if self.folder is None:
            return []
        selected = []
        for cell in self.run.cells:
            index = RunFolder(self.folder).image_index(cell.key)
            group = Group(cell.task, cell.model, cell.dataset)
            for item in load_kept(index, list[_SavedPair], remedy=_AGAIN) if index.exists() else []:
                for side in (item.before, item.after):
                    _require_own_files(index, side)
                picture = Picture(
                    group=group,
                    condition=cell.condition,
                    sample=item.sample,
                    before=index.parent / item.before.image,
                    after=index.parent / item.after.image,
                    before_prediction=item.before.prediction,
                    after_prediction=item.after.prediction,
                    class_names=self.model_row(group).classes,
                    before_truth=item.before.truth,
                    after_truth=item.after.truth,
                )
                selected.append(picture)
        return selected

    def table(self, report: str) -> pandas.DataFrame:
        """`robustbench_cv.table(self, report)`, for whoever has the results at hand: how they are drawn is not known here."""
        import robustbench_cv

        frame: pandas.DataFrame = robustbench_cv.table(self, report)
        return frame

    def report(self, out: str | Path) -> list[Path]:
        """`robustbench_cv.report(self, out)`, for whoever has the results at hand: how they are drawn is not known here."""
        import robustbench_cv

        paths: list[Path] = robustbench_cv.report(self, out)
        return paths

    @property
    def gates(self) -> list[Verdict]:
        """What each gate says of each model that it names."""
        import robustbench_cv

        verdicts: list[Verdict] = robustbench_cv.judge(self)
        return verdicts

    @property
    def exit_code(self) -> int:
        """That of `robustbench-cv run`: 0 pass, 1 a gate failed, 3 a gate is inconclusive, 4 a check said stop."""
        outcomes = {verdict.outcome for verdict in self.gates}
        stopped = any(finding.verdict == "stop" for finding in self.findings)
        return 4 if stopped else 1 if "fail" in outcomes else 3 if "inconclusive" in outcomes else 0

    def content_sha256(self) -> str:
        """Of the run, what the checks said, and every record. Only of a run that lies in a folder."""
        files = [path for g in self.groups() for c in self.conditions(g.task) for path in self._files(g, [c.name]) or ()]
        return digest([self.run, self.findings, [self._cache.sha256(path) for path in files]])

    def save_estimates(self) -> None:
        """Keep the numbers that were asked for in the run folder, for whoever opens it next."""
        self._cache.save()

    def remember(
        self, what: str, group: Group, conditions: Sequence[str], metric: str, kind: Any, make: Callable[[], T], *more: object
    ) -> T:
        """A number of the records under some conditions, made once."""
        name = (what, group.task, group.model, group.dataset, *conditions, metric, *more)
        row = self.model_row(group)
        # What a user's file measures is not known by its name.
        files = self._files(group, conditions) if METRICS.is_bundled(metric) else None
        facts = [row.classes, row.operating_score]
        return self._cache.remember(name, files, facts, kind, make)

    def _files(self, group: Group, conditions: Sequence[str]) -> list[Path] | None:
        every: list[Path] = []
        for condition in conditions:
            files = self.source.files(Place(group.task, group.model, group.dataset, condition))
            if files is None:
                return None
            every += files
        return every

    @functools.cached_property
    def _cache(self) -> EstimateCache:
        return EstimateCache(self.folder)

    @functools.cached_property
    def _read(self) -> dict[Place, ConditionRecords]:
        return {}


def _counted(words: pyarrow.Array) -> dict[str, int]:
    return dict(Counter(words.to_pylist()).most_common())


class _SavedSide(msgspec.Struct):
    """A picture of the index of a cell's pictures: the name of its file, and what was said of it."""

    image: str
    prediction: dict[str, Any]
    truth: dict[str, Any] = {}


class _SavedPair(msgspec.Struct):
    sample: str
    before: _SavedSide
    after: _SavedSide


def _require_own_files(index: Path, side: _SavedSide) -> None:
    """Damaged where an index names a file outside its own folder: a run folder may come from anybody, and shows its own pictures alone."""
    named = [side.image, *(said["labels"] for said in (side.prediction, side.truth) if isinstance(said.get("labels"), str))]
    stranger = next((name for name in named if not _PLAIN_NAME.fullmatch(name)), None)
    if stranger is not None:
        raise Damaged(f"{index} is damaged (it names {shorten(stranger)!r}, which is no file beside it); {_AGAIN}")


class _Head(msgspec.Struct):
    """What tells by which version a run.json was written."""

    schema_version: int = 1
    versions: dict[str, str] = {}


def read_run(folder: Path) -> RunInfo:
    """The run.json of a folder. UserError where there is none, where it cannot be read, or where another version wrote it, naming that."""
    path = RunFolder(folder).run_info
    if not path.is_file():
        if RunFolder(folder).report_page.is_file():
            raise UserError(f"{folder} is no run folder: it holds a report alone; give the run folders that the report is of")
        raise UserError(f"{folder} is no run folder: it has no run.json (robustbench-cv run SUITE --out {folder} makes one)")
    load_json(path, dict, remedy=_AGAIN)  # all of it: what a head leaves out may be damaged too
    head: _Head = load_json(path, _Head, remedy=_AGAIN)
    if head.schema_version != SCHEMA_VERSION:
        raise (WrittenByNewer if head.schema_version > SCHEMA_VERSION else UserError)(_of_another_version(path, head))
    run: RunInfo = load_json(path, RunInfo, remedy=_AGAIN)
    stranger = next((cell.key for cell in run.cells if not _PLAIN_NAME.fullmatch(cell.key)), None)
    if stranger is not None:
        raise Damaged(f"{path} is damaged (a cell has the key {shorten(stranger)!r}, which is no file name); {_AGAIN}")
    return run


def _of_another_version(path: Path, head: _Head) -> str:
    writer = head.versions.get("robustbench-cv", "an unknown version")
    if head.schema_version > SCHEMA_VERSION:
        way_out = "upgrade robustbench-cv, or give the run another folder with --out"
    else:
        way_out = "run the same command again" + (f", or read the folder with robustbench-cv {writer}" if writer != __version__ else "")
    written = f"{path} was written by robustbench-cv {writer} (schema {head.schema_version})"
    return f"{written}; this version reads schema {SCHEMA_VERSION}: {way_out}"
