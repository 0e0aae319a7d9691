"""A recipe: everything that decides what a training makes of a data set, but the seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from robustbench_cv.models.weights.description import Bits
from robustbench_cv.tasks import Task
from robustbench_cv.training.adversarial import AdversarialTraining
from robustbench_cv.training.training_set import TrainingSet

if TYPE_CHECKING:
    from robustbench_cv.training.loop import Run, Watch

Loss: TypeAlias = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(network, images (N, 3, h, w) normalised, truths as a Pool holds them) -> a scalar to be lowered."""

Augment: TypeAlias = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""(images (N, 3, h, w) in [0, 1], truths, random numbers) -> the same, changed without making a truth false."""

Fit: TypeAlias = "Callable[[nn.Module, TrainingSet, Run, Watch], None]"
"""(network, pool, run, watch): trains the network in place and leaves it in eval mode, the same for the same seed."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """AdamW under a one-cycle rate: linear up to `peak` during the first `warm` of the steps, a half cosine down to 0 after."""

    epochs: int
    peak: float = 3e-3
    batch: int = 64
    warm: float = 0.15
    decay: float = 0.02
    clip: float = 10.0

    def rate(self, progress: float) -> float:
        """Learning rate after `progress` (0-1) of all steps.

        >>> [round(Schedule(epochs=1, peak=1.0, warm=0.5).rate(p), 2) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
        """
        if progress < self.warm:
            return self.peak * progress / self.warm
        return self.peak * (1 + math.cos(math.pi * (progress - self.warm) / (1 - self.warm))) / 2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is made.

    architecture: registered model name, which reads the weights file. network: made for a training pool, parameters drawn from the
    global generator.
    data, test: specs of the default data sets; empty where the user must bring them. size (h, w) px at which the network trains and runs;
    letterbox: fit images into it with grey borders instead of stretching them. instances: learn from instance masks, not just from boxes.
    normalise: by the training images' mean and deviation.
    arguments: the architecture's own, written into the file. metrics: specs, measured on `test` when done.
    fit: what trains the network where gradient descent on `loss` is not all there is to it. bits: of a number in the weights file.
    adversary: changes each batch before it is learned from; none without.
    """

    name: str
    architecture: str
    task: Task
    network: Callable[[TrainingSet], nn.Module]
    loss: Loss
    augment: Augment
    schedule: Schedule
    metrics: tuple[str, ...]
    size: tuple[int, int]
    data: str = ""
    test: str = ""
    letterbox: bool = False
    instances: bool = False
    normalise: bool = True
    arguments: Mapping[str, int] = field(default_factory=dict)
    fit: Fit | None = None
    bits: Bits = 16
    adversary: AdversarialTraining | None = None
