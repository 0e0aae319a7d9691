"""One cell: a model under one condition on one shard of samples, from pixels to records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import pyarrow
import torch
from torch import Tensor

from robustbench_cv.adversary.attack import ChoosesSamples
from robustbench_cv.batching import finite_rows, in_batches
from robustbench_cv.catalogue import INTERVENTIONS, METRICS
from robustbench_cv.errors import BadSample, ForeignError, NotApplicable
from robustbench_cv.foreign_errors import calling, name_samples, one_by_one
from robustbench_cv.metrics.evidence import array_of
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.ratios import Background
from robustbench_cv.model_from_predictions import ClosedModel
from robustbench_cv.noise import Noise
from robustbench_cv.records import Record
from robustbench_cv.registry import Spec
from robustbench_cv.runner.attack_search import Attacked, attack_samples
from robustbench_cv.runner.context_counts import with_compatibility
from robustbench_cv.runner.edit_rules import require_rules, require_same
from robustbench_cv.runner.job import Job
from robustbench_cv.runner.sample_copy import own_copy
from robustbench_cv.suite import CLEAN
from robustbench_cv.types import Evidence, Model, Prediction, Sample

EDITED_TWICE = 8
"""Samples on which an intervention of a user's is asked twice for the same edit (project choice)."""

NOT_FINITE = "the model's output is not finite (NaN or infinity)"
NO_PREDICTION = "no prediction was given for this sample"


@dataclass(frozen=True, eq=False)
class Shot:
    """One sample before and after a condition, with its truth and what the model said of both."""

    before: Sample
    after: Sample
    before_prediction: Prediction
    after_prediction: Prediction

    @property
    def sample(self) -> str:
        """Its id."""
        return self.after.id


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

    Raises BadSample for an unreadable sample, and ForeignError for one on which anyone's model, edit or attack fails, unless job.skip_bad.
    """
    entries = [_prepare(job, i) for i in job.indices]
    records: dict[str, Record] = {e.sample: e for e in entries if isinstance(e, Record)}
    pairs = [e for e in entries if isinstance(e, _Pair)]
    # Those that are shown are searched again, for their images.
    records |= {p.after.id: job.broken_before[p.after.id] for p in pairs[job.pictures :] if p.after.id in job.broken_before}
    pairs = [p for p in pairs if p.after.id not in records]
    attacked: list[Attacked | None] = list(attack_samples(job, [p.after for p in pairs])) if job.attack is not None else [None] * len(pairs)
    served: list[tuple[_Pair, Attacked | None]] = []
    for pair, made in zip(pairs, attacked, strict=True):
        if made is not None and made.failed:
            # Without a trace somebody's code failed, under --skip-bad; with one, the model gave NaN or infinity.
            code = "not-finite" if made.trace is not None else "foreign-error"
            records[pair.after.id] = replace(
                job.blank, sample=pair.after.id, status="failed", reason=made.failed, reason_code=code, attack=made.trace
            )
        else:
            served.append((pair if made is None else replace(pair, after=replace(pair.after, image=made.image)), made))
    return _with_broken_before(job, _judge(job, served, records))


def _with_broken_before(job: Job, output: CellOutput) -> CellOutput:
    """A shown sample that the smaller budget broke and this search did not: the smaller one's record, and no picture."""
    lost = {r.sample for r in output.records if r.sample in job.broken_before and not (r.attack and r.attack.success)}
    records = [job.broken_before[r.sample] if r.sample in lost else r for r in output.records]
    return replace(output, records=records, shots=[s for s in output.shots if s.sample not in lost])


def condition_sample(job: Job, index: int) -> Sample | None:
    """One sample as the job's condition hands it to the attack, in the model's class indices; None where it cannot serve."""
    entry = prepared_sample(job, index)
    return None if isinstance(entry, Record) else entry


def prepared_sample(job: Job, index: int) -> Sample | Record:
    """As `condition_sample`, or the record that says why it cannot serve."""
    entry = _prepare(job, index)
    return entry if isinstance(entry, Record) else entry.after


def _judge(job: Job, served: Sequence[tuple[_Pair, Attacked | None]], records: dict[str, Record]) -> CellOutput:
    """Predict and measure what is left; `records` already holds the samples that are not."""
    # Pictures are of the first samples: those that the attack had something to do on.
    served = sorted(served, key=lambda one: one[1] is not None and one[1].skipped != "")
    predictions = _predict(job, [p.after for p, _ in served], job.condition.name)
    originals = _predict_originals(job, [p.before for p, _ in served], predictions)
    shots: list[Shot] = []
    predicted: dict[str, Prediction] = {}
    for (pair, made), prediction, original in zip(served, predictions, originals, strict=True):
        id_ = pair.after.id
        if isinstance(prediction, str) or isinstance(original, str):
            reason = prediction if isinstance(prediction, str) else str(original)
            records[id_] = replace(job.blank, sample=id_, status="failed", reason=reason, reason_code=_code_of(reason))
            continue
        record = _record(job, pair, prediction, original)
        if record.status == "failed":
            records[id_] = record
            continue
        records[id_] = record if made is None else _with_trace(record, made)
        predicted[id_] = prediction
        if original is not None and len(shots) < job.pictures:
            shots.append(Shot(pair.before, pair.after, original, prediction))
    return CellOutput([records[job.dataset.ids[i]] for i in job.indices], shots, predicted)


def _with_trace(record: Record, made: Attacked) -> Record:
    code = "nothing-to-attack" if made.skipped else ""
    return replace(record, attack=made.trace, reason=made.skipped, reason_code=code)


def _code_of(reason: str) -> str:
    """Of a failure: the model's NaN, a prediction that a closed model lacks, or code that broke down."""
    return {NOT_FINITE: "not-finite", NO_PREDICTION: "no-prediction"}.get(reason, "foreign-error")


def _prepare(job: Job, index: int) -> _Pair | Record:
    id_ = job.dataset.ids[index]
    try:
        before = job.renderings.original(index)
        if isinstance(job.attack, ChoosesSamples):
            job.attack.require(before)
        after = job.renderings.edited(before, job.condition.interventions, partial(_edit, job, before, index))
        if job.association is not None:
            after = with_compatibility(before, after, job.dataset.labels, job.association)
        # edits speak the data's class names; from here on everything is in the model's class indices
        return _Pair(job.class_map.sample(before), job.class_map.sample(after))
    except NotApplicable as reason:
        return replace(job.blank, sample=id_, status="not-applicable", reason=str(reason), reason_code=reason.code)
    except (BadSample, ForeignError) as fault:
        if not job.skip_bad:
            raise
        code = "unreadable" if isinstance(fault, BadSample) else "foreign-error"
        return replace(job.blank, sample=id_, status="failed", reason=str(fault), reason_code=code)


def _edit(job: Job, sample: Sample, index: int) -> Sample:
    """The sample after the condition's interventions. index: of the sample; the first ones are edited twice by code of a user's."""
    placebo, last = job.condition.control_of is not None, len(job.interventions) - 1
    for place, (spec, intervention) in enumerate(zip(job.condition.interventions, job.interventions, strict=True)):
        # the spec's name alone: severities of one edit share their noise, so that a curve's steps are nested
        noise = Noise(job.blank.seed, (sample.id,), Spec.parse(spec).name)
        whose = f"intervention {spec}, {name_samples([sample.id])}"
        bundled = INTERVENTIONS.is_bundled(spec)
        with calling(whose, partial(INTERVENTIONS.is_bundled, spec)):
            made = intervention(sample if bundled else own_copy(sample), noise)
            again = None if bundled or index not in job.indices[:EDITED_TWICE] else intervention(own_copy(sample), noise)
        require_rules(sample, made, whose, job.dataset.labels, placebo=placebo and place == last)
        if again is not None:
            require_same(made, again, whose)
        sample = made
    return sample


def _predict(job: Job, samples: Sequence[Sample], condition: str) -> list[Prediction | str]:
    """A prediction for each sample, in the evaluated classes; the reason where there is none. condition: that the images are under."""
    if isinstance(job.model, ClosedModel):
        return [_look_up(job, job.model, sample, condition) for sample in samples]
    model = cast("Model[Any]", job.model)

    def work(images: Tensor, positions: list[int]) -> list[Prediction | str]:
        with calling(f"model {job.blank.model!r}, {name_samples([samples[i].id for i in positions])}"), torch.no_grad():
            raw = model.raw(images.to(job.device))
            finite = finite_rows(raw).tolist()
            decoded = model.decode(raw)
        return [job.class_map.prediction(p) if good else NOT_FINITE for p, good in zip(decoded, finite, strict=True)]

    return in_batches(samples, job.batch_size, one_by_one(work, str if job.skip_bad else None))


def _look_up(job: Job, model: ClosedModel, sample: Sample, condition: str) -> Prediction | str:
    try:
        said = model.answer(condition, sample)
    except BadSample as fault:
        if not job.skip_bad:
            raise
        return str(fault)
    return NO_PREDICTION if said is None else job.class_map.prediction(said)


def _predict_originals(
    job: Job, befores: Sequence[Sample], predictions: Sequence[Prediction | str]
) -> Sequence[Prediction | str] | Sequence[None]:
    """Of the unedited images: all of them where pairs are measured, those that are shown where an attack is, none again where clean.

    None of a closed model that was never shown them: then there are no pairs.
    """
    kept = job.original_predictions
    if job.interventions:
        if isinstance(job.model, ClosedModel) and CLEAN.name not in job.model.answers:
            return [None] * len(befores)
        missing = [sample for sample in befores if kept.get(sample.id) is None]
        made = dict(zip([sample.id for sample in missing], _predict(job, missing, CLEAN.name), strict=True))
        kept.keep({id_: prediction for id_, prediction in made.items() if not isinstance(prediction, str)})
        return [made.get(sample.id) or kept.get(sample.id) or NOT_FINITE for sample in befores]
    if job.attack is None:
        kept.keep({s.id: p for s, p in zip(befores, predictions, strict=True) if not isinstance(p, str)})
    shown = _predict(job, befores[: job.pictures], CLEAN.name) if job.attack is not None else []
    return [*shown, *predictions[len(shown) :]]


def _record(job: Job, pair: _Pair, prediction: Prediction, original: Prediction | None) -> Record:
    reference: dict[str, Evidence] = {}
    edit = None if pair.after.edit is None else replace(pair.after.edit, original=original)
    try:
        evidence, excluded = _measure(job.metrics, prediction, replace(pair.after, edit=edit))
        if edit is not None and original is not None:
            reference, _ = _measure(job.metrics, original, replace(pair.before, target=edit.before, edit=edit))
    except ForeignError as fault:
        if not job.skip_bad:
            raise
        return replace(job.blank, sample=pair.after.id, status="failed", reason=str(fault), reason_code="foreign-error")
    except NotApplicable as broken:
        return replace(job.blank, sample=pair.after.id, status="failed", reason=str(broken), reason_code=broken.code)
    return replace(job.blank, sample=pair.after.id, evidence=evidence, reference=reference, excluded=excluded)


def evidence_types(metrics: Iterable[Metric]) -> dict[str, pyarrow.DataType]:
    """The types of all that metrics keep of a sample, by evidence key."""
    types: dict[str, pyarrow.DataType] = {}
    for metric in metrics:
        types[metric.evidence_key] = metric.evidence_type
        if isinstance(background := getattr(metric, "background", None), Background):
            types[background.key] = background.type
    return types


def _measure(metrics: Mapping[str, Metric], prediction: Prediction, sample: Sample) -> tuple[dict[str, Evidence], dict[str, str]]:
    """Evidence and reasons by evidence key. NotApplicable where the model answered NaN: that sample has failed, it is not left out."""
    evidence: dict[str, Evidence] = {}
    excluded: dict[str, str] = {}
    kinds = evidence_types(metrics.values())
    parts: dict[str, tuple[str, Callable[[Prediction, Sample], Evidence]]] = {}
    for name, metric in metrics.items():
        parts.setdefault(metric.evidence_key, (name, metric.measure))
        if isinstance(background := getattr(metric, "background", None), Background):
            parts[background.key] = name, background.measure
    for key, (name, measure) in parts.items():
        try:
            with calling(f"metric {name}, {name_samples([sample.id])}", partial(METRICS.is_bundled, name)):
                kept = measure(prediction, sample)
                if not METRICS.is_bundled(name):
                    array_of([kept], kinds[key])
                if kept is not None:
                    evidence[key] = kept
        except NotApplicable as reason:
            if reason.code == "not-finite":
                raise
            excluded[key] = str(reason)
    return evidence, excluded
