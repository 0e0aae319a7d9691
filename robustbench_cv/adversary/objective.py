"""What the adversary raises: one number a sample, never averaged over the batch.

An objective sees the raw output, what the adversary aims at, and `progress`, the share of the attack's steps already taken, in [0, 1).
What it aims at in one image, its goal, is a `Target` unless an attack says otherwise: a reference makes goals of the kind G (`references`),
the victim holds them, and the objective reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, cast

import torch
from torch import Tensor
from typing_extensions import TypeVar

from robustbench_cv.types import R, Raw, Target

G = TypeVar("G", default=Target)
"""What an attack aims at in one image."""


@dataclass(frozen=True)
class Objective(Generic[R, G]):
    """A named function (raw, goals, progress) -> (N,); higher is better for the adversary. accepts: the raw output it reads."""

    name: str
    accepts: type[R]
    score: Callable[[R, Sequence[G], float], Tensor]

    def __call__(self, raw: R, goals: Sequence[G], progress: float = 0.0, /) -> Tensor:
        return self.score(raw, goals, progress)


def indifferent() -> Objective[Any, Any]:
    """Nothing to raise, for any task: controls that ignore the model."""
    return Objective("none", cast(Any, Raw), _indifferent)


def _indifferent(raw: Any, goals: Sequence[Any], progress: float) -> Tensor:
    return torch.zeros(len(goals))
