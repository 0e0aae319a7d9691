"""A made-up run of all three tasks for the tests of tables, figures and reports: known outcomes, real metrics, no model."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import torch
from PIL import Image

from robustbench_cv.catalogue import METRICS
from robustbench_cv.check_findings import Finding
from robustbench_cv.kept_files import write_kept
from robustbench_cv.record_store import InMemory
from robustbench_cv.records import AttackTrace, Record
from robustbench_cv.results import CellRow, DatasetRow, MetricRow, ModelRow, Pairing, Results, RunInfo, TrackRow
from robustbench_cv.runner.cell import evidence_types
from robustbench_cv.runner.run_facts import architecture, condition_facts
from robustbench_cv.suite import Condition, Gate
from robustbench_cv.types import BoxPrediction, BoxTarget, Labels, MaskPrediction, MaskTarget, PixelProbabilities, Sample

CLASSES = {
    "classification": ("car", "boat", "cow", "skier", "chair", "plane"),
    "segmentation": ("road", "sidewalk", "car", "sky"),
    "detection": ("car", "boat", "cow"),
}
METRIC_NAMES = {
    "classification": ("top-1", "hallucination-rate", "ece"),
    "segmentation": ("miou", "pixel-accuracy", "hallucination-rate", "ece"),
    "detection": ("ap", "ap50", "hallucination-rate", "fabricated-per-image", "errors-per-image", "ece"),
}
MODELS = {"classification": "resnet-small", "segmentation": "unet_small", "detection": "yolo-small"}
REPORTS = (
    "overview",
    "main-table",
    "context-sensitivity",
    "iou-by-class",
    "detection-attacks",
    "budget-curve",
    "occlusion-curve",
    "complexity",
    "gallery",
    "checks",
    "protocol",
)

_ATTACKS = tuple(Condition(f"pgd-{k}", attack=f"pgd(eps={k}/255, steps=10)", curve="pgd", severity=k / 255) for k in (1, 2, 4, 8))
_OCCLUSIONS = tuple(Condition(f"occlude-{s}", ("occlude(share=%g)" % (s / 100),), curve="occlude", severity=s / 100) for s in (25, 50, 75))
_REMOVAL = Condition("remove", ("remove(fill='telea')",))
_EDITS = (_REMOVAL, *_OCCLUSIONS)
_PLACEBOS = tuple(Condition(f"{c.name}-control", (c.interventions[0].replace("(", "-control(", 1),), control_of=c.name) for c in _EDITS)
CONDITIONS = (Condition("clean"), *_ATTACKS, *_EDITS, *_PLACEBOS)

FACTS = {c.name: condition_facts(c) for c in CONDITIONS}

_STRENGTH = {"clean": 0.0, "pgd-1": 0.2, "pgd-2": 0.4, "pgd-4": 0.7, "pgd-8": 0.95, "remove": 0.3} | {
    f"occlude-{s}": s / 100 * 0.8 for s in (25, 50, 75)
}

PASS = Finding("S12", "attack and evaluation see one model", "pass", "64 of 64 predictions agree", model="resnet-small")
WARN = Finding(
    "S09",
    "gradients reach the input",
    "warn",
    "12 % of samples had zero gradients",
    "use a margin loss",
    model="resnet-small",
    dataset="",
    condition="pgd-8",
)
STOP = Finding("S21", "colour order is RGB", "stop", "BGR scores 0.91, RGB 0.42", "swap the channels", model="yolo-small")

STRONG = tuple(
    Finding(
        "S10",
        "attack strength",
        "pass",
        "attack looks strong",
        "",
        model=model,
        dataset="scenes",
        condition=c.name,
        task=task,
        code="attack-strength",
    )
    for task, model in MODELS.items()
    for c in _ATTACKS
)


def make(
    folder: Path | None = None,
    *,
    findings: tuple[Finding, ...] = (PASS, WARN),
    n: int = 24,
    models: dict[str, tuple[str, ...]] | None = None,
    classes: dict[str, tuple[str, ...]] | None = None,
    dataset: str = "scenes",
) -> Results:
    """A run folder's content in memory; with a folder, two pictures a condition are written to it."""
    names = {task: (model,) for task, model in MODELS.items()} | (models or {})
    labels = CLASSES | (classes or {})
    records, cells = [], []
    for task, every in names.items():
        for k, model in enumerate(every):
            for condition in CONDITIONS:
                made = _records(task, model, dataset, condition, n, k, labels[task])
                records += made
                cells.append(CellRow(f"{task}-{k}-{condition.name}", task, model, dataset, condition.name, n))
                if folder is not None and k == 0:
                    _write_pictures(folder / "images" / cells[-1].key, task, condition, len(labels[task]))
    run = RunInfo(
        suite="synthetic",
        version=1,
        seed=7,
        command="robustbench-cv run synthetic --limit 24",
        created="2025-01-02T03:04:05Z",
        device="cpu",
        versions={"torch": "2.11.0", "robustbench-cv": "0.1.0"},
        code_sha256="c0de" * 16,
        tracks=tuple(
            TrackRow(task, every, (dataset,), CONDITIONS, tuple(_metric_row(m, labels[task]) for m in METRIC_NAMES[task]), FACTS)
            for task, every in names.items()
        ),
        models=tuple(
            ModelRow(model, model, task, labels[task], 269_722, "ab12" * 16, 0.25) for task, every in names.items() for model in every
        ),
        datasets=(DatasetRow(dataset, "scenes(split='test')", "classification", n, "1d5a" * 16),),
        pairings=tuple(Pairing(task, model, dataset, "6 of 6 by name") for task, every in names.items() for model in every),
        cells=tuple(cells),
        gates=(Gate("top-1", "clean", 0.5), Gate("top-1", "pgd-8", 0.99), Gate("ap", "clean", 0.5)),
        reports=REPORTS,
        architectures=tuple(architecture(model) for every in names.values() for model in every),
        notes=("JPEG-compressed copies; the published figure is for the uncompressed images.",),
    )
    return Results(run, InMemory.of(records, evidence_kinds()), findings, folder)


def evidence_kinds(score: float = 0.25) -> dict[str, pyarrow.DataType]:
    """The types of all evidence of the run, by evidence key."""
    names = dict.fromkeys(name for metrics in METRIC_NAMES.values() for name in metrics)
    return evidence_types(METRICS.build(name, labels=Labels(("anything",)), operating_score=score) for name in names)


def with_records(results: Results, frame: pandas.DataFrame) -> Results:
    """The results with other records: a frame such as `Results.records` gives."""
    rows = frame.to_dict("records")
    made = [Record(**{**row, "attack": AttackTrace(**row["attack"]) if isinstance(row["attack"], dict) else None}) for row in rows]
    return replace(results, source=InMemory.of(made, evidence_kinds()))


def _metric_row(name: str, classes: tuple[str, ...]) -> MetricRow:
    metric = METRICS.build(name, labels=Labels(classes), operating_score=0.25)
    return MetricRow.of(name, metric)


def _strength(condition: Condition) -> float:
    return 0.05 if condition.control_of else _STRENGTH[condition.name]


@functools.cache  # asked for by hundreds of tests, and frozen
def _records(task: str, model: str, dataset: str, condition: Condition, n: int, k: int, classes: tuple[str, ...]) -> tuple[Record, ...]:
    made = []
    for i in range(n):
        common: dict[str, Any] = {
            "suite": "synthetic",
            "suite_version": 1,
            "task": task,
            "model": model,
            "dataset": dataset,
            "condition": condition.name,
            "sample": f"scene/{i:05d}",
            "seed": 7,
        }
        if condition.interventions and i == 0:
            made.append(Record(**common, status="not-applicable", reason="the mask covers more than 30 % of the image"))
            continue
        rng = numpy.random.default_rng([i, k])
        evidence = _evidence(task, rng, _strength(condition), classes)
        if condition.name == "remove":
            evidence["hallucination-rate@0.25"] = i % 4 == 0
        reference = _evidence(task, numpy.random.default_rng([i, k]), 0.0, classes) if condition.interventions else {}
        trace = (
            AttackTrace(success=bool(i % 2), size=condition.severity, radius=condition.severity, forwards=11, backwards=10, zero_grads=0.0)
            if condition.attack
            else None
        )
        made.append(Record(**common, evidence=evidence, reference=reference, attack=trace))
    return tuple(made)


def _evidence(task: str, rng: numpy.random.Generator, strength: float, classes: tuple[str, ...]) -> dict[str, object]:
    luck = rng.random()
    if task == "classification":
        sure = numpy.float32(0.55 + 0.4 * luck).item()
        right = bool(luck > 0.06 + 0.9 * strength)
        sums = {"brier": 2 * (1 - sure if right else sure) ** 2, "nll": -math.log(sure if right else 1 - sure)}
        return {"top-1": right, "calibration@0.25": {"confidence": [sure], "right": [right], **sums}}
    sample, prediction = _segmented(rng, strength, len(classes)) if task == "segmentation" else _detected(rng, luck, strength)
    names = (METRIC_NAMES[task][0], "fabricated-per-image", "errors-per-image", "ece") if task == "detection" else ("miou", "ece")
    metrics = [METRICS.build(name, operating_score=0.25) for name in names]
    return {metric.evidence_key: metric.measure(prediction, sample) for metric in metrics}


def _segmented(rng: numpy.random.Generator, strength: float, classes: int) -> tuple[Sample, MaskPrediction]:
    truth = torch.from_numpy(rng.integers(0, classes, (8, 8)))
    wrong = torch.from_numpy(rng.random((8, 8)) < 0.05 + 0.9 * strength)
    sample = Sample("x", torch.zeros(3, 8, 8), MaskTarget(truth))
    said = torch.where(wrong, (truth + 1) % classes, truth)
    probs = 0.7 * torch.eye(classes)[said.flatten()[::4]] + 0.3 / classes
    return sample, MaskPrediction(said, PixelProbabilities(torch.arange(0, 64, 4), probs))


def _detected(rng: numpy.random.Generator, luck: float, strength: float) -> tuple[Sample, BoxPrediction]:
    corner = torch.from_numpy(rng.integers(0, 40, (2, 2))).float()
    boxes = torch.cat([corner, corner + 20], dim=1)
    labels = torch.from_numpy(rng.integers(0, 3, 2))
    shift = 20.0 if luck < 0.1 + 0.9 * strength else 2.0
    sample = Sample("x", torch.zeros(3, 64, 64), BoxTarget.of(boxes, labels))
    return sample, BoxPrediction(boxes + shift, torch.tensor([0.9, 0.6]), labels)


def _write_pictures(folder: Path, task: str, condition: Condition, classes: int, side: int = 48) -> None:
    folder.mkdir(parents=True)
    index = []
    for k in range(2):
        rng = numpy.random.default_rng(k)
        smooth = numpy.asarray(Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=numpy.uint8)).resize((side, side)))
        before = smooth.copy()
        change = rng.choice([-8, 8], before.shape) if condition.attack else numpy.zeros(before.shape, dtype=numpy.int64)
        after = (before.astype(numpy.int64) + change).clip(0, 255).astype(numpy.uint8)
        if condition.interventions:
            after[12:30, 12:30] = after.mean(axis=(0, 1)).astype(numpy.uint8)
        entry: dict[str, object] = {"sample": f"scene/{k:05d}"}
        for name, pixels, moved in (("before", before, 0), ("after", after, condition.name != "clean")):
            Image.fromarray(pixels).save(folder / f"{k}-{name}.png")
            entry[name] = {
                "image": f"{k}-{name}.png",
                "prediction": _prediction(folder, f"{k}-{name}", task, int(moved), classes, side),
                "truth": _prediction(folder, f"{k}-{name}-truth", task, 0, classes, side),
            }
        index.append(entry)
    write_kept(folder / "index.json", index)


def _prediction(folder: Path, name: str, task: str, moved: int, classes: int, side: int) -> dict[str, object]:
    if task == "classification":
        return {"label": moved, "score": 0.97 - 0.4 * moved}
    if task == "detection":
        return {"boxes": [[6.0 + 8 * moved, 14.0, 26.0, 34.0], [20, 2, 44, 16]], "scores": [0.91, 0.2], "labels": [moved, 1]}
    labels = (numpy.arange(side)[:, None] // (side // classes) + numpy.zeros((1, side), dtype=numpy.int64) + moved) % classes
    Image.fromarray(labels.astype(numpy.uint8)).save(folder / f"{name}-labels.png")
    return {"labels": f"{name}-labels.png"}
