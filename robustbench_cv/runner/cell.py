"""One cell: a model under one condition on one shard of samples, from pixels to records."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from robustbench_cv.adversary.attack import run as run_attack
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import BadSample, NotApplicable
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.noise import Noise
from robustbench_cv.records import AttackTrace, Record
from robustbench_cv.registry import Spec
from robustbench_cv.runner.batches import BatchSize, finite_rows, in_batches
from robustbench_cv.suite import Condition
from robustbench_cv.types import AnyModel, Dataset, Evidence, Prediction, Sample

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Job:
    """What a cell needs, built. blank: the record that every row starts from (suite, model, data set, condition, seed).

    pictures: how many of the samples are kept as before-and-after images.
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


@dataclass(frozen=True, eq=False)
class Shot:
    """One sample before and after a condition, with what the model said of both."""

    sample: str
    before: Tensor
    after: Tensor
    before_prediction: Prediction
    after_prediction: Prediction


@dataclass(frozen=True, eq=False)
class CellOutput:
    """A cell's records in the order of its samples, its pictures, and every prediction by sample id."""

    records: list[Record]
    shots: list[Shot]
    predictions: dict[str, Prediction]


@dataclass(frozen=True, eq=False)
class _Pair:
    """A sample as it was, and as the condition leaves it."""

    before: Sample
    after: Sample


def run_cell(job: Job) -> CellOutput:
    """Edit, attack, predict, measure. A sample that cannot serve becomes a record with its reason, never a score.

    Raises BadSample for an unreadable sample unless job.skip_bad.
    """
    entries = [_prepare(job, i) for i in job.indices]
    pairs = [e for e in entries if isinstance(e, _Pair)]
    attacked = _attack(job, pairs) if job.attack is not None else [(p.after.image, None) for p in pairs]
    served = [
        (replace(p, after=replace(p.after, image=image)), trace)
        for p, (image, trace) in zip(pairs, attacked, strict=True)
        if not isinstance(trace, str)
    ]
    predictions = _predict(job, [p.after for p, _ in served])
    originals = _predict_originals(job, [p.before for p, _ in served], predictions)

    records: dict[str, Record] = {e.sample: e for e in entries if isinstance(e, Record)}
    for pair, (_, trace) in zip(pairs, attacked, strict=True):
        if isinstance(trace, str):
            records[pair.after.id] = replace(job.blank, sample=pair.after.id, status="not-applicable", reason=trace)
    shots: list[Shot] = []
    kept: dict[str, Prediction] = {}
    for (pair, trace), prediction, original in zip(served, predictions, originals, strict=True):
        id_ = pair.after.id
        if prediction is None or original is None:
            records[id_] = replace(job.blank, sample=id_, status="failed", reason="the model's output is not finite (NaN or infinity)")
            continue
        assert not isinstance(trace, str)
        records[id_] = replace(_record(job, pair, prediction, original), attack=trace)
        kept[id_] = prediction
        if len(shots) < job.pictures:
            shots.append(Shot(id_, pair.before.image, pair.after.image, original, prediction))
    order = [job.dataset.ids[i] for i in job.indices]
    return CellOutput([records[id_] for id_ in order], shots, kept)


def _prepare(job: Job, index: int) -> _Pair | Record:
    id_ = job.dataset.ids[index]
    try:
        before = job.class_map.sample(job.dataset[index])
        after = before
        for spec, intervention in zip(job.condition.interventions, job.interventions, strict=True):
            # the spec's name alone: severities of one edit share their noise, so that a curve's steps are nested
            after = intervention(after, Noise(job.blank.seed, (id_,), Spec.parse(spec).name))
    except NotApplicable as reason:
        return replace(job.blank, sample=id_, status="not-applicable", reason=str(reason))
    except BadSample as fault:
        if not job.skip_bad:
            raise
        return replace(job.blank, sample=id_, status="failed", reason=str(fault))
    return _Pair(before, after)


def _attack(job: Job, pairs: Sequence[_Pair]) -> list[tuple[Tensor, AttackTrace | str]]:
    """The attacked image and its trace for each sample; in place of the trace, the reason why the attack did not apply."""
    samples = [p.after for p in pairs]
    purpose = Spec.parse(job.condition.attack or "").name

    def work(images: Tensor, positions: list[int]) -> list[tuple[Tensor, AttackTrace | str]]:
        noise = Noise(job.blank.seed, tuple(samples[i].id for i in positions), purpose)
        made = run_attack(job.attack, job.model, images.to(job.device), [samples[i].target for i in positions], noise)
        return [(image.cpu(), trace) for image, trace in zip(made.images, made.traces(), strict=True)]

    return in_batches(samples, job.batch_size, work)


def _predict(job: Job, samples: Sequence[Sample]) -> list[Prediction | None]:
    """A prediction for each sample, in the evaluated classes; None where the raw output is not finite."""

    def work(images: Tensor, _: list[int]) -> list[Prediction | None]:
        with torch.no_grad():
            raw = job.model.raw(images.to(job.device))
            finite = finite_rows(raw)
            decoded = job.model.decode(raw)  # type: ignore[arg-type]
        return [job.class_map.prediction(p) if good else None for p, good in zip(decoded, finite, strict=True)]

    return in_batches(samples, job.batch_size, work)


def _predict_originals(job: Job, befores: Sequence[Sample], predictions: list[Prediction | None]) -> list[Prediction | None]:
    """Of the unedited images: all of them where pairs are measured, those that are shown where an attack is, none again where clean."""
    if job.interventions:
        return _predict(job, befores)
    shown = _predict(job, befores[: job.pictures]) if job.attack is not None else []
    return [*shown, *predictions[len(shown) :]]


def _record(job: Job, pair: _Pair, prediction: Prediction, original: Prediction) -> Record:
    evidence, excluded = _measure(job.metrics, prediction, pair.after)
    reference: dict[str, Evidence] = {}
    if pair.after.edit is not None:
        reference, _ = _measure(job.metrics, original, replace(pair.before, target=pair.after.edit.before, edit=pair.after.edit))
    return replace(job.blank, sample=pair.after.id, evidence=evidence, reference=reference, excluded=excluded)


def _measure(metrics: Mapping[str, Metric], prediction: Prediction, sample: Sample) -> tuple[dict[str, Evidence], dict[str, str]]:
    evidence: dict[str, Evidence] = {}
    excluded: dict[str, str] = {}
    for metric in metrics.values():
        if metric.evidence_key in evidence or metric.evidence_key in excluded:
            continue
        try:
            evidence[metric.evidence_key] = metric.measure(prediction, sample)
        except NotApplicable as reason:
            excluded[metric.evidence_key] = str(reason)
    return evidence, excluded
