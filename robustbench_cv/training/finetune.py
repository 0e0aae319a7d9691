"""Any classifier or segmenter to anyone's data: its head replaced, trained whole or the head alone, stopped when held-out data say so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, Segmenter, identity
from robustbench_cv.models.build import build
from robustbench_cv.models.transfer import Transferred, transfer, with_input
from robustbench_cv.models.weights.card import Card
from robustbench_cv.models.weights.described import Description, write
from robustbench_cv.models.weights.start import parse_size
from robustbench_cv.training import losses
from robustbench_cv.training.augment import chain, flip, light, shift, zoom
from robustbench_cv.training.loop import Run
from robustbench_cv.training.pool import Pool
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.split import HELD_OUT, Part, split
from robustbench_cv.training.train import fit_with_bar, measure, read, require_safetensors, write_card
from robustbench_cv.types import Dataset


@dataclass(frozen=True)
class Settings:
    """frozen: train the head alone. epochs: at most; patience: how many without progress on held-out data end the training.

    rate: highest learning rate. batch: images a step. size: side or 'WxH' px at which the model trains and runs; its own unless given.
    """

    frozen: bool = False
    epochs: int = 20
    patience: int = 5
    rate: float = 1e-3
    batch: int = 16
    size: int | str = ""


def finetune(
    spec: str,
    *,
    data: Dataset | str,
    test: Dataset | str | None = None,
    out: Path,
    settings: Settings = Settings(),
    seed: int = 0,
    device: str = "cpu",
    limit: int | None = None,
) -> Card:
    """Train the model that a spec names on `data` and write `out` (safetensors) with its card; used as finetuned:OUT.

    The classes are the data's. Every tenth training sample decides when to stop; without `test`, another tenth is held out to measure on.
    The same call again resumes. UserError for detectors, and where model and data are for different tasks.
    """
    require_safetensors(out)
    recipe = _recipe(spec, settings)
    learned, judged = split(recipe, data, test, limit)
    begun = transfer(spec, learned.dataset.labels)
    recipe = _fitted(recipe, begun, learned.dataset, settings)
    learned, watched = _divided(learned)
    pool, unseen = read(recipe, learned), read(recipe, watched)
    network = _Network(begun, settings.frozen)
    run = _run(recipe, begun, pool, unseen, settings, seed, device, out)
    seconds = fit_with_bar(network, pool, run)
    description = Description(str(begun.spec), pool.labels.names, recipe.size, run.mean, run.std)
    known: Any = with_input(begun.model, description)
    write(out, known.module, description, half=False)
    metrics = measure(build(f"finetuned:{out}"), recipe, judged, device)
    title = f"finetune {spec} {settings}"
    return write_card(out, f"finetuned:{out.name}", title, run, learned, pool, judged, metrics, known.info.parameters, seconds)


def _recipe(spec: str, settings: Settings) -> Recipe:
    """What is known before the data are."""
    model = build(spec)
    task = model.info.task
    if not isinstance(model, Classifier | Segmenter):
        raise UserError(f"{spec} is no classifier or segmenter that can be fine-tuned here; detectors train by recipes (list recipes)")
    return Recipe(
        name="finetune",
        architecture=spec,
        task=task,
        network=lambda pool: nn.Identity(),
        loss=losses.classification if task == "classification" else losses.segmentation,
        augment=chain(flip, shift, light) if task == "classification" else chain(flip, zoom, light),
        schedule=Schedule(settings.epochs, peak=settings.rate, batch=settings.batch),
        metrics=("top-1",) if task == "classification" else ("miou", "pixel-accuracy"),
        size=parse_size(settings.size) or model.module.prepare.size or (0, 0),
    )


def _fitted(recipe: Recipe, begun: Transferred, data: Dataset, settings: Settings) -> Recipe:
    """The recipe at the size asked for, else the model's, else that of the first image."""
    if recipe.size != (0, 0):
        return recipe
    height, width = data[0].image.shape[-2:]
    known: Any = begun.model
    factor = (known.module.prepare.short or min(height, width)) / min(height, width)
    return replace(recipe, size=(round(height * factor), round(width * factor)))


def _divided(part: Part) -> tuple[Part, Part]:
    """(what is learned from, every tenth, which says when to stop)."""
    watched = [index for i, index in enumerate(part.indices) if i % HELD_OUT == HELD_OUT - 1] or list(part.indices[-1:])
    rest = [index for index in part.indices if index not in set(watched)]
    if not rest:
        raise UserError(f"{part.name} has {len(part)} samples; fine-tuning needs some to learn from and some to stop by: at least 4")
    return replace(part, indices=rest), replace(part, indices=watched, name=f"every {HELD_OUT}th of {part.name}")


def _run(recipe: Recipe, begun: Transferred, pool: Pool, unseen: Pool, settings: Settings, seed: int, device: str, out: Path) -> Run:
    known: Any = begun.model
    prepare = known.module.prepare
    mean, std = pool.statistics() if prepare.mean is None else (tuple(v.flatten().tolist()) for v in (prepare.mean, prepare.std))
    facts = (recipe.architecture, known.info.weights_sha256, settings, recipe.size, seed, device, pool.sha256, torch.__version__)
    key = hashlib.sha256(repr(facts).encode()).hexdigest()
    judge = _held_out_loss(recipe.loss, unseen, mean, std, settings.batch, device)
    return Run(recipe, settings.epochs, seed, device, mean, std, out.with_suffix(".training"), key, judge, settings.patience)


def _held_out_loss(
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor], pool: Pool, mean: Any, std: Any, batch: int, device: str
) -> Callable[[nn.Module], float]:
    def judge(network: nn.Module) -> float:
        total = 0.0
        for start in range(0, len(pool), batch):
            x = pool.images[start : start + batch].to(device).float() / 255
            x = (x - x.new_tensor(mean)[:, None, None]) / x.new_tensor(std)[:, None, None]
            with torch.no_grad():
                total += float(loss(network, x, pool.truths[start : start + batch].to(device))) * len(x)
        return total / len(pool)

    return judge


class _Network(nn.Module):
    """What learns: a transferred model's network behind its preprocessing, (N, 3, h, w) normalised -> scores at that size.

    The outermost module stays in eval mode, so that auxiliary heads stay silent. frozen: only the head's tensors learn, and layers
    without any keep their eval mode.
    """

    def __init__(self, begun: Transferred, frozen: bool) -> None:
        super().__init__()
        known: Any = begun.model
        self.net: nn.Module = known.module.net
        self.output: Callable[[Any], Tensor] = getattr(known, "output", identity)
        self._frozen = frozen
        learning = _learning(known.module, begun.fresh) if frozen else None
        for name, parameter in known.module.named_parameters():
            parameter.requires_grad_(learning is None or name in learning)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.output(self.net(x))
        if scores.ndim == 4 and scores.shape[-2:] != x.shape[-2:]:
            scores = F.interpolate(scores, x.shape[-2:], mode="bilinear", align_corners=False)
        return scores

    def train(self, mode: bool = True) -> _Network:
        super().train(mode)
        self.net.training = False
        for module in self.modules():
            if self._frozen and not any(p.requires_grad for p in module.parameters(recurse=False)):
                module.training = False
        return self


def _learning(module: nn.Module, fresh: Collection[str]) -> frozenset[str]:
    """The parameters that a frozen training moves. UserError where there is no new head."""
    names = frozenset(name for name, _ in module.named_parameters()) & frozenset(fresh)
    if not names:
        raise UserError("the model has the data's own classes already, so no head is new; leave out --frozen to train all of it")
    return names
