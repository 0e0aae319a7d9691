"""What running one cell takes, built from its plan: edits bound to their donors, the attack, the metrics for the model's classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robustbench_cv.adversary.combinators.transfer import surrogates, with_surrogates
from robustbench_cv.adversary.universal.judging import attack_of, judged_as
from robustbench_cv.batching import BatchSize
from robustbench_cv.catalogue import INTERVENTIONS, METRICS
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.data.source import NeedsDataset
from robustbench_cv.interventions.intervention import Intervention, NeedsDonors
from robustbench_cv.metrics.context_association import Association
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.records import Record
from robustbench_cv.runner.attack_search import radius_of
from robustbench_cv.runner.budget_warm_start import warm_start
from robustbench_cv.runner.context_counts import compares_contexts
from robustbench_cv.runner.edited_samples import OriginalPredictions, Renderings
from robustbench_cv.runner.universal_fit import fit_once
from robustbench_cv.types import AnyModel, Dataset, Labels

if TYPE_CHECKING:
    from robustbench_cv.results import ModelRow
    from robustbench_cv.run_folder import RunFolder
    from robustbench_cv.runner.planned_cells import Plan, PlannedCell
    from robustbench_cv.suite import Condition


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """What a cell needs, built. blank: the record that every row starts from (suite, model, data set, condition, seed).

    pictures: how many of the samples are kept as before-and-after images. broken_before: records of samples that a smaller budget broke.
    association: of classes and contexts, where the condition swaps contexts and a metric asks how compatible they are.
    """

    model: AnyModel
    dataset: Dataset
    class_map: ClassMap
    condition: Condition
    interventions: Sequence[Intervention]
    attack: Any
    metrics: Mapping[str, Metric]
    indices: Sequence[int]
    blank: Record
    device: str
    batch_size: BatchSize
    skip_bad: bool = False
    pictures: int = 0
    broken_before: Mapping[str, Record] = field(default_factory=dict)
    renderings: Renderings
    original_predictions: OriginalPredictions
    association: Association | None = None


def build_job(plan: Plan, cell: PlannedCell, batch_size: BatchSize, folder: RunFolder | None = None) -> Job:
    """What running a cell takes, built: edits bound to their donors, the attack, the metrics for the model's classes.

    folder: where attacks that are fitted first keep what they fit; without one they are left unfitted.
    """
    pair, condition = cell.pair, cell.condition
    model = pair.model  # before the attack's surrogates, which may be the same one
    edits = []
    for spec in condition.interventions:
        edit = INTERVENTIONS.build(spec)
        if isinstance(edit, NeedsDonors):
            edit = edit.with_donors(pair.donors)
        if isinstance(edit, NeedsDataset):
            edit = edit.with_dataset(pair.dataset)
        edits.append(edit)
    attack, blank = _attack(plan, cell, folder), blank_record(plan, cell)
    metrics = build_metrics(plan, cell)
    return Job(
        model=model,
        dataset=pair.dataset,
        class_map=pair.class_map,
        condition=condition,
        interventions=edits,
        attack=attack,
        metrics=metrics,
        indices=cell.indices,
        blank=blank,
        device=plan.options.device,
        batch_size=batch_size,
        skip_bad=plan.options.skip_bad,
        pictures=cell.pictures,
        renderings=pair.renderings,
        original_predictions=pair.original_predictions,
        association=pair.contexts.association if compares_contexts(edits, metrics.values()) else None,
        broken_before=warm_start(folder, cell.base, blank, radius_of(attack)) if folder and cell.base else {},
    )


def blank_record(plan: Plan, cell: PlannedCell) -> Record:
    """What all records of a cell share."""
    pair = cell.pair
    return Record(
        suite=plan.suite.name,
        suite_version=plan.suite.version,
        task=cell.row.task,
        model=pair.row.name,
        dataset=pair.dataset_row.name,
        condition=cell.condition.name,
        sample="",
        seed=plan.suite.seed,
    )


def _attack(plan: Plan, cell: PlannedCell, folder: RunFolder | None) -> Any:
    if cell.fit is not None and folder is not None:
        return judged_as(fit_once(folder, cell.fit, cell.pair, plan.suite.seed, plan.options), cell.condition)
    attack = attack_of(cell.condition)
    if isinstance(attack, NeedsDataset):
        return attack.with_dataset(cell.pair.dataset)
    transferred_from = surrogates(attack)
    return with_surrogates(attack, plan.models.beside(transferred_from).__getitem__) if transferred_from else attack


def build_metrics(plan: Plan, cell: PlannedCell) -> dict[str, Metric]:
    """The metrics of a cell's track, for its model, by name."""
    track = next(t for t in plan.tracks if t.task == cell.row.task)
    return {m.name: build_metric(m.name, cell.pair.row) for m in track.metrics}


def build_metric(name: str, row: ModelRow) -> Metric:
    """A metric for a model's classes, at its operating score."""
    return METRICS.build(name, labels=Labels(row.classes), operating_score=row.operating_score)
