"""What fine-tuning needs to know of a model once the data's classes are known, the same for every task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from robustbench_cv.models.transfer_learning.replace_head import ReplacedHead
from robustbench_cv.training.loop import Judge
from robustbench_cv.training.recipe import Recipe
from robustbench_cv.training.split import Part
from robustbench_cv.training.training_set import TrainingSet

Numbers: TypeAlias = tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """frozen: train the head alone. epochs: at most; patience: how many without progress on held-out data end the training.

    rate: highest learning rate; batch: images a step; 0 is the task's own. size: side or 'WxH' px at which the model trains and runs; its
    own unless given.
    """

    frozen: bool = False
    epochs: int = 20
    patience: int = 5
    rate: float = 0.0
    batch: int = 0
    size: int | str = ""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """begun: the model before it learns. recipe: how it learns. network: what learns, over the model's own tensors.

    normalisation: of the pool's images by the loop, and what the file will say of the model's. judge: from the samples that are held out,
    normalisation and device, how bad the network is on them.
    """

    begun: ReplacedHead
    recipe: Recipe
    network: nn.Module
    normalisation: Callable[[TrainingSet], tuple[Numbers, Numbers]]
    described: Callable[[TrainingSet], tuple[Numbers, Numbers]]
    judge: Callable[[Part, Numbers, Numbers, str], Judge]
