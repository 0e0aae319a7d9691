"""How classifiers and segmenters are fine-tuned: on stretched images, until the loss on held-out ones rises."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, Segmenter, identity
from robustbench_cv.models.transfer_learning.replace_head import ReplacedHead, replace_head
from robustbench_cv.models.weights.initial_weights import parse_size
from robustbench_cv.training import losses
from robustbench_cv.training.augment import chain, flip, light, shift, zoom
from robustbench_cv.training.finetune_plan import Lesson, Numbers, Settings
from robustbench_cv.training.loop import Judge
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.split import Part
from robustbench_cv.training.train import read
from robustbench_cv.training.training_set import TrainingSet
from robustbench_cv.types import Dataset


def lesson(spec: str, donor: Classifier | Segmenter, settings: Settings, data: Dataset) -> Lesson:
    """A classifier's or segmenter's, at the size asked for, else the model's, else that of the first image."""
    task = donor.info.task
    begun = replace_head(spec, data.labels)
    recipe = Recipe(
        name="finetune",
        architecture=spec,
        task=task,
        network=lambda pool: nn.Identity(),
        loss=losses.classification if task == "classification" else losses.segmentation,
        augment=chain(flip, shift, light) if task == "classification" else chain(flip, zoom, light),
        schedule=Schedule(epochs=settings.epochs, peak=settings.rate or 1e-3, batch=settings.batch or 16),
        metrics=("top-1",) if task == "classification" else ("miou", "pixel-accuracy"),
        size=parse_size(settings.size) or donor.module.prepare.size or _size(begun, data),
    )

    def normalisation(pool: TrainingSet) -> tuple[Numbers, Numbers]:
        known: Any = begun.model
        own = known.module.prepare
        return pool.statistics() if own.mean is None else (tuple(own.mean.flatten().tolist()), tuple(own.std.flatten().tolist()))

    def judge(watched: Part, mean: Numbers, std: Numbers, device: str) -> Judge:
        return _held_out_loss(recipe, read(recipe, watched), mean, std, device)

    return Lesson(
        begun=begun,
        recipe=recipe,
        network=_Network(begun, settings.frozen),
        normalisation=normalisation,
        described=normalisation,
        judge=judge,
    )


def _size(begun: ReplacedHead, data: Dataset) -> tuple[int, int]:
    height, width = data[0].image.shape[-2:]
    known: Any = begun.model
    factor = (known.module.prepare.short or min(height, width)) / min(height, width)
    return round(height * factor), round(width * factor)


def _held_out_loss(recipe: Recipe, unseen: TrainingSet, mean: Any, std: Any, device: str) -> Judge:
    batch = recipe.schedule.batch

    def judge(network: nn.Module) -> float:
        total = 0.0
        for start in range(0, len(unseen), batch):
            x = unseen.images[start : start + batch].to(device).float() / 255
            x = (x - x.new_tensor(mean)[:, None, None]) / x.new_tensor(std)[:, None, None]
            with torch.no_grad():
                total += float(recipe.loss(network, x, unseen.truths[start : start + batch].to(device))) * len(x)
        return total / len(unseen)

    return judge


class _Network(nn.Module):
    """What learns: a transferred model's network behind its preprocessing, (N, 3, h, w) normalised -> scores at that size.

    The outermost module stays in eval mode, so that auxiliary heads stay silent. frozen: only the head's tensors learn, and layers
    without any keep their eval mode.
    """

    def __init__(self, begun: ReplacedHead, frozen: bool) -> None:
        super().__init__()
        known: Any = begun.model
        self.net: nn.Module = known.module.net
        self.output: Callable[[Any], Tensor] = getattr(known, "output", identity)
        self._frozen = frozen
        require(known.module, learning(known.module, begun.fresh) if frozen else None)

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


def learning(module: nn.Module, fresh: Collection[str]) -> frozenset[str]:
    """The parameters that a frozen training moves. UserError where there is no new head."""
    names = frozenset(name for name, _ in module.named_parameters()) & frozenset(fresh)
    if not names:
        raise UserError("the model has the data's own classes already, so no head is new; leave out --frozen to train all of it")
    return names


def require(module: nn.Module, names: Collection[str] | None) -> None:
    """Let the parameters of these names learn, and no others; None: all."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(names is None or name in names)
