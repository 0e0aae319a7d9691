"""The contract of a check: what it may look at. What it says is a Finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from torch import Tensor

from robustbench_cv.findings import Finding

if TYPE_CHECKING:
    from robustbench_cv.checks.attacked import Attacked
    from robustbench_cv.checks.survey import DataSurvey
    from robustbench_cv.results import Results
    from robustbench_cv.tasks import Task
    from robustbench_cv.types import AnyModel, Model, Prediction, Sample

Change: TypeAlias = Callable[[Tensor], Tensor]
"""What is done to images (N, 3, H, W) before the model sees them. Values may leave [0, 1]: that is what is being tried."""

_PIXELS = 16 * 224 * 224
_BATCH = {"classification": 16, "segmentation": 16, "detection": 4}


@dataclass(frozen=True, eq=False)
class Preflight:
    """Before a run: a model on its device, and up to 64 labelled samples whose targets are in the model's class indices."""

    model: AnyModel
    task: Task
    samples: Sequence[Sample]
    dataset: str = ""
    device: str = "cpu"

    @cached_property
    def declared(self) -> Sequence[Prediction]:
        """The model's prediction of each sample as it is: computed once for all checks."""
        return self.predictions()

    def predictions(self, change: Change | None = None, first: int | None = None) -> list[Prediction]:
        """The prediction of each sample (or of the first few), its image changed first. In small batches of one shape."""
        samples = self.samples[:first]
        found: dict[int, Prediction] = {}
        for chosen in self._batches(samples):
            images = torch.stack([samples[i].image for i in chosen]).to(self.device)
            found |= zip(chosen, self._predict(images if change is None else change(images)), strict=True)
        return [found[i] for i in range(len(samples))]

    def _batches(self, samples: Sequence[Sample]) -> Iterator[list[int]]:
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for i, sample in enumerate(samples):
            by_shape.setdefault(tuple(sample.image.shape), []).append(i)
        for (_, height, width), places in by_shape.items():
            size = max(1, min(_BATCH[self.task], _PIXELS // (height * width)))
            yield from (places[i : i + size] for i in range(0, len(places), size))

    def _predict(self, images: Tensor) -> list[Prediction]:
        model = cast("Model[Any]", self.model)
        try:
            with torch.no_grad():
                return list(model.decode(model.raw(images)))
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
            half = len(images) // 2
            return self._predict(images[:half]) + self._predict(images[half:])


@dataclass(frozen=True, eq=False)
class AfterRun:
    """After a run: its results, and the models by task and name, for checks that predict again."""

    results: Results
    models: Mapping[tuple[Task, str], AnyModel]
    device: str = "cpu"


Before: TypeAlias = Callable[[Preflight], Finding]
After: TypeAlias = Callable[[AfterRun], Sequence[Finding]]
OfAttack: TypeAlias = Callable[["Attacked"], Finding]
OfData: TypeAlias = Callable[["DataSurvey"], Finding]
Check: TypeAlias = Before | After | OfAttack | OfData
"""The decorator says when: @check(stage="data") (of the data as it was read), @check(stage="before"), @check(stage="attack") (after each
attack on each model) or @check(stage="after"). needs="s01-range s05-mode": the checks of the same stage without which this one means
nothing; where one says stop, it is not tried."""
