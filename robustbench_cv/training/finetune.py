"""Any classifier, segmenter or detector to anyone's data: its head replaced, trained whole or the head alone, stopped by held-out data."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, Segmenter
from robustbench_cv.models.build import build
from robustbench_cv.models.transfer_learning.replace_head import with_input
from robustbench_cv.models.weights.card import Card
from robustbench_cv.models.weights.description import Description, write
from robustbench_cv.models.weights.self_contained import is_self_contained
from robustbench_cv.registry import Spec
from robustbench_cv.tasks import Task
from robustbench_cv.training import finetune_classifiers
from robustbench_cv.training.context_augmentation import augment_part, parse_augmentation
from robustbench_cv.training.finetune_plan import Lesson, Settings
from robustbench_cv.training.loop import Run
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.split import HELD_OUT, Part, split
from robustbench_cv.training.train import fit_with_bar, measure, read, require_safetensors, write_card
from robustbench_cv.training.training_set import TrainingSet
from robustbench_cv.types import AnyModel, Dataset

__all__ = ["Settings", "finetune"]

USUAL = Settings()


def finetune(
    spec: str,
    *,
    data: Dataset | str,
    test: Dataset | str | None = None,
    out: Path,
    settings: Settings = USUAL,
    seed: int = 0,
    device: str = "cpu",
    limit: int | None = None,
    augment: str | None = None,
) -> Card:
    """Train the model that a spec names on `data` and write `out` (safetensors) with its card; used as finetuned:OUT.

    The classes are the data's; those that the model knows by name keep their part of its head. Every tenth training sample decides when to
    stop, by the loss, or by a detector's AP50; without `test`, another tenth is held out to measure on. The same call again resumes.
    augment: edited copies to learn from too, see `context_augmentation`. UserError for detectors that no gradient trains, and where model
    and data are for different tasks.
    """
    require_safetensors(out)
    donor = build(spec)
    learned, judged = split(_any(spec, donor.info.task), data, test, limit)
    lesson = _lesson(spec, donor, settings, learned.dataset)
    learned, watched = _divide(learned)
    if augment is not None:
        if parse_augmentation(augment).loss != "ignore":
            raise UserError("loss='negative' is for segmentation recipes (robustbench-cv train); leave it out to fine-tune")
        learned = augment_part(learned, augment, seed)
    pool = read(lesson.recipe, learned)
    run = _run(lesson, pool, watched, settings=settings, seed=seed, device=device, out=out)
    seconds = fit_with_bar(lesson.network, pool, run)
    mean, std = lesson.described(pool)
    description = Description(
        architecture=str(lesson.begun.spec), classes=pool.labels.names, input_size=lesson.recipe.size, mean=mean, std=std
    )
    known: Any = with_input(lesson.begun.model, description)
    write(out, known.module, description, bits=32)
    metrics = measure(build(_use_as(out, lesson.begun.spec)), lesson.recipe, judged, device)
    title = f"finetune {spec} {settings}"
    name = str(replace(_use_as(out, lesson.begun.spec), target=out.name))
    return write_card(
        out,
        name,
        title,
        run=run,
        learned=learned,
        pool=pool,
        judged=judged,
        metrics=metrics,
        parameters=known.info.parameters,
        seconds=seconds,
    )


def _use_as(out: Path, network: Spec) -> Spec:
    """What builds the written model: finetuned:OUT, and its network beside it where a weights file may not name that by itself."""
    return Spec("finetuned", {} if is_self_contained(network) else {"architecture": str(network)}, str(out))


def _any(spec: str, task: Task) -> Recipe:
    """What data are opened for, before their classes are known."""
    return Recipe(
        name="finetune",
        architecture=spec,
        task=task,
        network=lambda pool: nn.Identity(),
        loss=lambda n, x, t: x.sum(),
        augment=lambda x, t, rng: (x, t),
        schedule=Schedule(epochs=1),
        metrics=(),
        size=(1, 1),
    )


def _lesson(spec: str, donor: AnyModel, settings: Settings, data: Dataset) -> Lesson:
    if isinstance(donor, Classifier | Segmenter):
        return finetune_classifiers.lesson(spec, donor, settings, data)
    if donor.info.task == "detection":
        from robustbench_cv.training import finetune_detectors  # torchvision takes seconds to import

        return finetune_detectors.lesson(spec, donor, settings, data)
    raise UserError(
        f"{spec} is a {type(donor).__name__}, whose network fine-tuning cannot reach; give a spec of (robustbench-cv list models)"
    )


def _divide(part: Part) -> tuple[Part, Part]:
    """(what is learned from, every tenth, which says when to stop)."""
    watched = [index for i, index in enumerate(part.indices) if i % HELD_OUT == HELD_OUT - 1] or list(part.indices[-1:])
    rest = [index for index in part.indices if index not in set(watched)]
    if not rest:
        raise UserError(f"{part.name} has {len(part)} samples; fine-tuning needs some to learn from and some to stop by: at least 4")
    return replace(part, indices=rest), replace(part, indices=watched, name=f"every {HELD_OUT}th of {part.name}")


def _run(lesson: Lesson, pool: TrainingSet, watched: Part, settings: Settings, seed: int, device: str, out: Path) -> Run:
    known: Any = lesson.begun.model
    recipe = lesson.recipe
    mean, std = lesson.normalisation(pool)
    seen = [watched.dataset.fingerprint(index) for index in watched.indices]
    begun = (recipe.architecture, known.info.weights_sha256, mean, std, recipe.size)
    facts = (*begun, settings, seed, device, pool.sha256, seen, torch.__version__)
    key = hashlib.sha256(repr(facts).encode()).hexdigest()
    judge = lesson.judge(watched, mean, std, device)
    return Run(
        recipe=recipe,
        epochs=settings.epochs,
        seed=seed,
        device=device,
        mean=mean,
        std=std,
        state=out.with_suffix(".training"),
        key=key,
        judge=judge,
        patience=settings.patience,
    )
