"""The contract of a check: what it may look at. What it says is a Finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

from robustbench_cv.batching import BatchSize, finite_rows, in_batches, positions_by_shape
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.first_layer import first_input
from robustbench_cv.errors import NotApplicable
from robustbench_cv.model_from_predictions import NEEDS_MODEL, ClosedModel
from robustbench_cv.suite import CLEAN

if TYPE_CHECKING:
    from robustbench_cv.checks.checked_attack import Attacked
    from robustbench_cv.checks.data_survey import DataSurvey
    from robustbench_cv.data.class_map import ClassMap
    from robustbench_cv.results import Results
    from robustbench_cv.tasks import Task
    from robustbench_cv.types import AnyModel, Model, Prediction, Raw, Sample

Change: TypeAlias = Callable[[Tensor], Tensor]
"""What is done to images (N, 3, H, W) before the model sees them. Values may leave [0, 1]: that is what is being tried."""

LARGE, HUGE = 160 * 160, 512 * 512
"""Pixels of an image as the network sees it from which on checks ask less (project choice): two cores predict a ResNet-50's 64 samples of
LARGE images in seconds, and a Faster R-CNN's 12 of HUGE ones."""

_FEW, _FEW_LARGE, _FEW_HUGE = 8, 4, 2
"""Images on which a check looks at how a model computes, rather than at how well (project choice): one is enough to show most mistakes."""

_PIXELS = 16 * 224 * 224
_BATCH = {"classification": 16, "segmentation": 16, "detection": 4}


class Answer(NamedTuple):
    """The prediction of one sample, and whether all the outputs it was decoded from are finite."""

    prediction: Prediction
    is_finite: bool


class Alone(NamedTuple):
    """What a model gives for one image, the only one of its batch, without gradients; and what is decoded from it right away."""

    raw: Raw
    prediction: Prediction


@dataclass(frozen=True, eq=False)
class Preflight:
    """Before a run: a model on its device, and up to 64 labelled samples whose targets are in the model's class indices.

    reserve: reads more samples, for questions that the first do not decide. known: the answers to the first samples, if they are had.
    class_map: by which the samples' targets were moved into the model's class indices; None where nothing was moved.
    """

    model: AnyModel
    task: Task
    samples: Sequence[Sample]
    dataset: str = ""
    device: str = "cpu"
    reserve: Callable[[], Sequence[Sample]] = tuple
    known: Sequence[Answer] = ()
    class_map: ClassMap | None = None

    @cached_property
    def clean_predictions(self) -> Sequence[Prediction]:
        """The model's prediction of each sample as it is: computed once for all checks."""
        return [answer.prediction for answer in self._answers]

    @cached_property
    def _answers(self) -> Sequence[Answer]:
        return [*self.known, *self._ask(None, range(len(self.known), len(self.samples)))]

    @cached_property
    def seen_pixels(self) -> int:
        """Pixels of the largest image as the network sees it: of its first convolution's input, where the model resizes images itself.

        The pass ends there, so that it changes nothing in a model that counts what it sees (a batch norm in train mode).
        """
        largest = max((s.image for s in self.samples), key=lambda image: image.shape[-2] * image.shape[-1])
        seen = None if isinstance(self.model, ClosedModel) else first_input(cast("Model[Any]", self.model), largest[None].to(self.device))
        height, width = seen or largest.shape[-2:]
        return height * width

    @property
    def is_large(self) -> bool:
        """Whether a pass takes so long that few samples are tried first."""
        return self.seen_pixels >= LARGE

    @property
    def is_huge(self) -> bool:
        """Whether a pass takes so long that only the likeliest is asked, of few samples."""
        return self.seen_pixels >= HUGE

    @cached_property
    def few(self) -> Sequence[Sample]:
        """Up to eight samples of the commonest shape, fewer where a pass takes long: on which a check looks at how a model computes."""
        return self._of_one_shape(_FEW)

    def _of_one_shape(self, most: int) -> Sequence[Sample]:
        most = min(most, _FEW_HUGE if self.is_huge else _FEW_LARGE if self.is_large else most)
        commonest = max(positions_by_shape(s.image for s in self.samples), key=len)
        return [self.samples[i] for i in commonest[:most]]

    def few_images(self, most: int = _FEW) -> Tensor:
        """A new tensor of the images of the few, or of another number chosen as they are, on the device: (N, 3, H, W)."""
        return torch.stack([s.image for s in self._of_one_shape(most)]).to(self.device)

    @cached_property
    def alone(self) -> Sequence[Alone]:
        """What the model gives for each of the few: computed once for all checks."""
        model, found = cast("Model[Any]", self.model), []
        with torch.no_grad():
            for image in self.few_images():
                raw = model.raw(image[None])
                found.append(Alone(raw, model.decode(raw)[0]))
        return found

    @cached_property
    def answered(self) -> Preflight:
        """The samples on whose unchanged image all outputs are finite: a run records the others as failed, whatever a change does to them.

        Of the reserve too, once it is read.
        """
        kept = [i for i, answer in enumerate(self._answers) if answer.is_finite]
        if len(kept) == len(self.samples):
            return self
        return self.part(kept)

    @cached_property
    def wider(self) -> Preflight:
        """The same samples and the reserve, with nothing further in reserve: read and predicted when it is first asked for."""
        more = list(self.reserve())
        return self if not more else replace(self, samples=[*self.samples, *more], reserve=tuple, known=self._answers)

    def part(self, positions: Sequence[int]) -> Preflight:
        """Some of the samples, and the answers to them."""
        return replace(self, samples=[self.samples[i] for i in positions], known=[self._answers[i] for i in positions])

    def predictions(self, change: Change | None = None, positions: Sequence[int] | None = None) -> list[Prediction]:
        """The prediction of each sample (or of those at some positions), its image changed first. In small batches of one shape."""
        return [answer.prediction for answer in self._ask(change, positions)]

    def _ask(self, change: Change | None, positions: Sequence[int] | None) -> list[Answer]:
        chosen = self.samples if positions is None else [self.samples[i] for i in positions]
        if isinstance(self.model, ClosedModel):
            return self._looked_up(self.model, change, chosen)
        model = cast("Model[Any]", self.model)

        def work(images: Tensor, _: list[int]) -> Sequence[Answer]:
            images = images.to(self.device)
            with torch.no_grad():
                raw = model.raw(images if change is None else change(images))
                return [Answer(p, bool(finite)) for p, finite in zip(model.decode(raw), finite_rows(raw), strict=True)]

        return in_batches(chosen, BatchSize(limit=_BATCH[self.task], pixels=_PIXELS), work)

    def _looked_up(self, model: ClosedModel, change: Change | None, chosen: Sequence[Sample]) -> list[Answer]:
        """NotApplicable for changed images, which a closed model never saw."""
        if change is not None:
            raise NotApplicable("only this model's predictions are here, and this shows it changed images", NEEDS_MODEL)
        found = [model.answer(CLEAN.name, sample) for sample in chosen]
        return [Answer(prediction, is_finite=True) for prediction in found if prediction is not None]


@dataclass(frozen=True, eq=False)
class AfterRun:
    """After a run: its results, and the models by task and name, for checks that predict again: each is built when it is taken out.

    code_sha256: of the checks' own code, as a part of the key of what they keep in the run folder; where it is empty they keep nothing.
    """

    results: Results
    models: Mapping[tuple[Task, str], AnyModel]
    device: str = "cpu"
    code_sha256: str = ""


Before: TypeAlias = Callable[[Preflight], Finding]
After: TypeAlias = Callable[[AfterRun], Sequence[Finding]]
OfAttack: TypeAlias = Callable[["Attacked"], Finding]
OfData: TypeAlias = Callable[["DataSurvey"], Finding]
Check: TypeAlias = Before | After | OfAttack | OfData
"""The decorator says when: @check(stage="data") (of the data as it was read), @check(stage="before"), @check(stage="attack") (after each
attack on each model) or @check(stage="after"). needs="s01-range s05-mode": the checks of the same stage without which this one means
nothing; where one says stop, it is not tried."""
