"""One cell: a model under one condition on one shard of samples, from pixels to records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.adversary.attack import AttackResult
from robustbench_cv.adversary.attack import run as run_attack
from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.catalogue import ATTACKS, INTERVENTIONS, METRICS
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import BadSample, ForeignError, NotApplicable
from robustbench_cv.foreign import calling, named, one_by_one, read_sample
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.parts import Background
from robustbench_cv.metrics.ssim import structural_similarity
from robustbench_cv.models.folded import fold
from robustbench_cv.noise import Noise
from robustbench_cv.records import AttackTrace, Record
from robustbench_cv.registry import Spec
from robustbench_cv.runner.batches import BatchSize, finite_rows, in_batches
from robustbench_cv.runner.memory import largest_batch
from robustbench_cv.suite import Condition
from robustbench_cv.types import AnyModel, Dataset, Evidence, Model, Prediction, Sample

logger = logging.getLogger(__name__)

NOT_FINITE = "the model's output is not finite (NaN or infinity)"


@dataclass(frozen=True, eq=False)
class Job:
    """What a cell needs, built. blank: the record that every row starts from (suite, model, data set, condition, seed).

    pictures: how many of the samples are kept as before-and-after images. carried: records of samples that a smaller budget broke.
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
    carried: Mapping[str, Record] = field(default_factory=dict)


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
class _Attacked:
    """What an attack made of one sample. failed: why the model broke down on it; unserved: why there was nothing to attack."""

    image: Tensor
    trace: AttackTrace | None
    failed: str = ""
    skipped: str = ""

    @classmethod
    def of(cls, made: AttackResult, i: int, radius: float | None, likeness: Tensor | None) -> _Attacked:
        counts = int(made.forwards[i]), int(made.backwards[i])
        ssim = None if likeness is None else round(float(likeness[i]), 6)
        trace = AttackTrace(bool(made.success[i]), float(made.size[i]), radius, *counts, float(made.zero_grads[i]), ssim)
        return cls(made.images[i].cpu(), trace, made.failed.get(i, ""), made.skipped.get(i, ""))


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
    records |= {p.after.id: job.carried[p.after.id] for p in pairs[job.pictures :] if p.after.id in job.carried}
    pairs = [p for p in pairs if p.after.id not in records]
    attacked: list[_Attacked | None] = list(_attack(job, pairs)) if job.attack is not None else [None] * len(pairs)
    served: list[tuple[_Pair, _Attacked | None]] = []
    for pair, made in zip(pairs, attacked, strict=True):
        if made is not None and made.failed:
            records[pair.after.id] = replace(
                job.blank, sample=pair.after.id, status="failed", reason=made.failed, reason_code="not-finite", attack=made.trace
            )
        else:
            served.append((pair if made is None else replace(pair, after=replace(pair.after, image=made.image)), made))
    return _with_carried(job, _judge(job, served, records))


def _with_carried(job: Job, output: CellOutput) -> CellOutput:
    """A shown sample that the smaller budget broke and this search did not: the smaller one's record, and no picture."""
    lost = {r.sample for r in output.records if r.sample in job.carried and not (r.attack and r.attack.success)}
    records = [job.carried[r.sample] if r.sample in lost else r for r in output.records]
    return replace(output, records=records, shots=[s for s in output.shots if s.sample not in lost])


def condition_sample(job: Job, index: int) -> Sample | None:
    """One sample as the job's condition hands it to the attack, in the model's class indices; None where it cannot serve."""
    entry = _prepare(job, index)
    return None if isinstance(entry, Record) else entry.after


def _judge(job: Job, served: Sequence[tuple[_Pair, _Attacked | None]], records: dict[str, Record]) -> CellOutput:
    """Predict and measure what is left; `records` already holds the samples that are not."""
    # Pictures are of the first samples: those that the attack had something to do on.
    served = sorted(served, key=lambda one: one[1] is not None and one[1].skipped != "")
    predictions = _predict(job, [p.after for p, _ in served])
    originals = _predict_originals(job, [p.before for p, _ in served], predictions)
    shots: list[Shot] = []
    kept: dict[str, Prediction] = {}
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
        kept[id_] = prediction
        if len(shots) < job.pictures:
            shots.append(Shot(id_, pair.before.image, pair.after.image, original, prediction))
    return CellOutput([records[job.dataset.ids[i]] for i in job.indices], shots, kept)


def _with_trace(record: Record, made: _Attacked) -> Record:
    code = "nothing-to-attack" if made.skipped else ""
    return replace(record, attack=made.trace, reason=made.skipped, reason_code=code)


def _code_of(reason: str) -> str:
    """Of a failure: the model's NaN, or code that broke down."""
    return "not-finite" if reason == NOT_FINITE else "foreign-error"


def _prepare(job: Job, index: int) -> _Pair | Record:
    id_ = job.dataset.ids[index]
    try:
        before = after = read_sample(job.dataset, index)
        for spec, intervention in zip(job.condition.interventions, job.interventions, strict=True):
            # the spec's name alone: severities of one edit share their noise, so that a curve's steps are nested
            noise = Noise(job.blank.seed, (id_,), Spec.parse(spec).name)
            with calling(f"intervention {spec}, {named([id_])}", partial(INTERVENTIONS.is_bundled, spec)):
                after = intervention(after, noise)
        # edits speak the data's class names; from here on everything is in the model's class indices
        return _Pair(job.class_map.sample(before), job.class_map.sample(after))
    except NotApplicable as reason:
        return replace(job.blank, sample=id_, status="not-applicable", reason=str(reason), reason_code=reason.code)
    except (BadSample, ForeignError) as fault:
        if not job.skip_bad:
            raise
        return replace(job.blank, sample=id_, status="failed", reason=str(fault), reason_code="unreadable")


def _attack(job: Job, pairs: Sequence[_Pair]) -> list[_Attacked]:
    samples = [p.after for p in pairs]
    spec = job.condition.attack or ""
    purpose = Spec.parse(spec).name
    radius = radius_of(job.attack)

    model = cast("Model[Any]", job.model)
    faster, most = _prepare_search(job, samples)

    def work(images: Tensor, positions: list[int]) -> list[_Attacked]:
        ids = tuple(samples[i].id for i in positions)
        noise = Noise(job.blank.seed, ids, purpose)
        with calling(f"attack {spec} on model {job.blank.model!r}, {named(ids)}", partial(ATTACKS.is_bundled, spec)):
            made = run_attack(job.attack, model, images.to(job.device), [samples[i].target for i in positions], noise, faster)
        likeness = structural_similarity(images.to(made.images.device), made.images)
        return [_Attacked.of(made, i, radius, likeness) for i in range(len(images))]

    broken = (lambda fault: _Attacked(torch.empty(0), None, str(fault))) if job.skip_bad else None
    return in_batches(samples, job.batch_size, one_by_one(work, broken), most)


def _prepare_search(job: Job, samples: Sequence[Sample]) -> tuple[Model[Any] | None, int | None]:
    """The model with folded batch norms, and the most images that a pass may hold; None for what there is not, or fails on an image."""
    model = cast("Model[Any]", job.model)
    if not samples:
        return None, None
    largest = max((s.image for s in samples), key=lambda image: image.numel())
    try:
        with calling(f"model {job.blank.model!r}"):
            # A universal attack is judged against references of its own, where it lies, and searches nothing.
            searches = not isinstance(job.attack, UniversalAttack)
            faster = fold(model, samples[0].image[None].to(job.device)) if searches else None
            return faster, largest_batch(model, largest) if job.device.startswith("cpu") else None
    except ForeignError:
        return None, None  # the attack meets the same, and then the sample is known


def radius_of(attack: Any) -> float | None:
    """Of an attack's budget; None where there is no single one."""
    region = attack.surface if isinstance(attack, UniversalAttack) else getattr(attack, "constraint", None)
    radius: float | None = getattr(region, "radius", None)
    return radius


def _predict(job: Job, samples: Sequence[Sample]) -> list[Prediction | str]:
    """A prediction for each sample, in the evaluated classes; the reason where there is none."""
    model = cast("Model[Any]", job.model)

    def work(images: Tensor, positions: list[int]) -> list[Prediction | str]:
        with calling(f"model {job.blank.model!r}, {named([samples[i].id for i in positions])}"), torch.no_grad():
            raw = model.raw(images.to(job.device))
            finite = finite_rows(raw)
            decoded = model.decode(raw)
        return [job.class_map.prediction(p) if good else NOT_FINITE for p, good in zip(decoded, finite, strict=True)]

    return in_batches(samples, job.batch_size, one_by_one(work, str if job.skip_bad else None))


def _predict_originals(job: Job, befores: Sequence[Sample], predictions: list[Prediction | str]) -> list[Prediction | str]:
    """Of the unedited images: all of them where pairs are measured, those that are shown where an attack is, none again where clean."""
    if job.interventions:
        return _predict(job, befores)
    shown = _predict(job, befores[: job.pictures]) if job.attack is not None else []
    return [*shown, *predictions[len(shown) :]]


def _record(job: Job, pair: _Pair, prediction: Prediction, original: Prediction) -> Record:
    reference: dict[str, Evidence] = {}
    try:
        evidence, excluded = _measure(job.metrics, prediction, pair.after)
        if pair.after.edit is not None:
            reference, _ = _measure(job.metrics, original, replace(pair.before, target=pair.after.edit.before, edit=pair.after.edit))
    except ForeignError as fault:
        if not job.skip_bad:
            raise
        return replace(job.blank, sample=pair.after.id, status="failed", reason=str(fault), reason_code="foreign-error")
    except NotApplicable as broken:
        return replace(job.blank, sample=pair.after.id, status="failed", reason=str(broken), reason_code=broken.code)
    return replace(job.blank, sample=pair.after.id, evidence=evidence, reference=reference, excluded=excluded)


def _measure(metrics: Mapping[str, Metric], prediction: Prediction, sample: Sample) -> tuple[dict[str, Evidence], dict[str, str]]:
    """Evidence and reasons by evidence key. NotApplicable where the model answered NaN: that sample has failed, it is not left out."""
    evidence: dict[str, Evidence] = {}
    excluded: dict[str, str] = {}
    parts: dict[str, tuple[str, Callable[[Prediction, Sample], Evidence]]] = {}
    for name, metric in metrics.items():
        parts.setdefault(metric.evidence_key, (name, metric.measure))
        if isinstance(background := getattr(metric, "background", None), Background):
            parts[background.key] = name, background.measure
    for key, (name, measure) in parts.items():
        try:
            with calling(f"metric {name}, {named([sample.id])}", partial(METRICS.is_bundled, name)):
                evidence[key] = measure(prediction, sample)
        except NotApplicable as reason:
            if reason.code == "not-finite":
                raise
            excluded[key] = str(reason)
    return evidence, excluded
