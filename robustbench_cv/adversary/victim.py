"""A model with the samples that it is attacked on, and what one search found of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from robustbench_cv.adversary.criteria import Success, reported_predictions
from robustbench_cv.adversary.objective import G
from robustbench_cv.batching import finite_rows
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import Candidates, HasModule, Logits, Model, PixelLogits, R, Target

H = TypeVar("H")

SPOKEN = {Logits: "class logits", PixelLogits: "pixel logits", Candidates: "detection candidates"}
TASK = {Logits: "classification", PixelLogits: "segmentation", Candidates: "detection"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Victim(Generic[R, G]):
    """x0: clean images (N, 3, H, W). goals, references: see Aim. noise: the streams of these samples.

    capacity: how many images a pass may hold, those of the batch before samples left it; 0: as many as there are.
    """

    model: Model[R]
    x0: Tensor
    goals: Sequence[G]
    references: Sequence[Target]
    noise: Noise
    capacity: int = 0

    def select(self, index: Tensor) -> Victim[R, G]:
        """Some of the samples (int64 indices, CPU)."""
        chosen = index.tolist()
        if chosen == list(range(len(self.x0))):
            return self
        return dataclasses.replace(
            self,
            x0=self.x0[index.to(self.x0.device)],
            goals=[self.goals[i] for i in chosen],
            references=[self.references[i] for i in chosen],
            noise=self.noise.select(chosen),
        )

    def aimed_at(self, goals: Sequence[H]) -> Victim[R, H]:
        """The same samples with other goals, one each."""
        return Victim(model=self.model, x0=self.x0, goals=goals, references=self.references, noise=self.noise, capacity=self.capacity)

    def fork(self, purpose: str) -> Victim[R, G]:
        """The same samples with independent random numbers."""
        return dataclasses.replace(self, noise=self.noise.fork(purpose))

    def judge(self, success: Success, raw: R) -> Tensor:
        """Degree of success of the model's output: float (N,), on the CPU."""
        with torch.no_grad():
            predictions = self.model.decode(raw)
        return success.degree(reported_predictions(predictions, self.model.info.operating_score), self.references)


def require_raw(name: str, accepts: Any, raw: object) -> None:
    """UserError unless the model's raw output is what the attack reads; the message names attacks that would fit."""
    if isinstance(raw, accepts):
        return
    given = type(raw)
    if given not in SPOKEN:
        raise UserError(f"the model's raw() returned {given.__name__}; it must return Logits, PixelLogits or Candidates")
    fitting = [entry.name for entry in ATTACKS.entries().values() if entry.facts.get("task") == TASK[given]]
    hint = f"; try {', '.join(sorted(fitting))}" if fitting else ""
    raise UserError(f"attack {name!r} needs {SPOKEN[accepts]}; this model gives {SPOKEN[given]}{hint}")


def no_gradient(name: str, model: str, accepts: Any) -> NotApplicable:
    """What a white-box attack says of a model that gives its input no gradient: which attacks ask for none."""
    tasks = (TASK.get(accepts), "any")
    others = sorted(e.name for e in ATTACKS.entries().values() if e.facts.get("gradient") is False and e.facts.get("task") in tasks)
    return NotApplicable(
        f"attack {name!r} follows gradients and model {model!r} gives none to its input; attacks that need none: {', '.join(others)}",
        "no-gradient",
    )


def non_finite(raw: Logits | PixelLogits | Candidates) -> Tensor:
    """Samples whose raw output holds NaN or infinity (-inf is a legal log score): bool (N,)."""
    return ~finite_rows(raw)


@contextmanager
def frozen_eval(model: object) -> Iterator[None]:
    """Eval mode and frozen weights while attacking; every module's mode and every requires_grad as found afterwards, come what may."""
    modules = list(model.module.modules()) if isinstance(model, HasModule) else []
    modes = [(m, m.training) for m in modules if m.training]
    trainable = [p for m in modules for p in m.parameters(recurse=False) if p.requires_grad]
    try:
        for module, _ in modes:
            # Not module.eval(), which recurses and may be overridden.
            module.training = False
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter in trainable:
            parameter.requires_grad_(True)


@dataclass(eq=False, kw_only=True)
class SearchResult:
    """What a search found of each sample: rows of a table that restarts and ensembles merge, worst case by sample.

    degree (N,) on the CPU; size (N,); forwards, backwards, zero_grads: int64 (N,), counts of passes and of exactly zero gradients;
    non_finite: bool (N,), the model gave NaN or infinity.
    """

    images: Tensor
    degree: Tensor
    size: Tensor
    forwards: Tensor
    backwards: Tensor
    zero_grads: Tensor
    non_finite: Tensor

    @classmethod
    def of_clean_images(cls, images: Tensor, forwards: int = 0) -> SearchResult:
        """The table before any search: the clean images, at a degree that every search improves on."""
        n = len(images)
        counts = torch.zeros(n, dtype=torch.int64)
        nothing = torch.zeros(n, dtype=torch.bool)
        return cls(
            images=images,
            degree=torch.full((n,), -1.0),
            size=torch.zeros(n),
            forwards=counts + forwards,
            backwards=counts.clone(),
            zero_grads=counts.clone(),
            non_finite=nothing,
        )

    def select(self, index: Tensor) -> SearchResult:
        """Some of the rows (int64 indices, CPU)."""
        here = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return SearchResult(**{name: column[index.to(column.device)] for name, column in here.items()})

    def merge(self, index: Tensor, other: SearchResult) -> None:
        """Add the costs of `other`, found on the samples `index`, and take over its images where they succeed better."""
        better = other.degree > self.degree[index]
        here, there = index[better], better.nonzero()[:, 0]
        self.images = self.images.clone()
        self.images[here.to(self.images.device)] = other.images[there.to(self.images.device)]
        self.degree[here], self.size[here] = other.degree[there], other.size[there]
        self.forwards[index] += other.forwards
        self.backwards[index] += other.backwards
        self.zero_grads[index] += other.zero_grads
        self.non_finite[index] |= other.non_finite


def worst_of(searches: Sequence[Callable[[Victim[R, G]], SearchResult]], victim: Victim[R, G], threshold: float) -> SearchResult:
    """Each search on the samples that none before it broke, with random numbers of its own; the worst result of each sample."""
    worst = searches[0](victim.fork("0"))
    for i, search in enumerate(searches[1:], start=1):
        survivors = ((worst.degree < threshold) & ~worst.non_finite).nonzero()[:, 0]
        if len(survivors) == 0:
            break
        worst.merge(survivors, search(victim.select(survivors).fork(str(i))))
    return worst


def checked_size(name: str, measure: Callable[[Tensor, Tensor], Tensor], radius: float, x0: Tensor, x: Tensor) -> Tensor:
    """Sizes of the final images (N,), on the CPU; UserError where one is outside its budget or outside [0, 1] (I12: 1e-6)."""
    return sizes_within_budget(name, measure(x0, x), radius, x)


def sizes_within_budget(name: str, size: Tensor, radius: float, x: Tensor) -> Tensor:
    """The sizes (N,) of images x, on the CPU; UserError where one is above the radius, or a pixel outside [0, 1]."""
    size = size.float().cpu()
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 1):
        raise UserError(f"attack {name!r} returned pixels from {low:g} to {high:g}, outside [0, 1]: its own code is at fault")
    allowed = radius + 1e-6 * max(1.0, radius)
    if not bool((size <= allowed).all()):
        raise UserError(f"attack {name!r} used {float(size.max()):.7g} of a budget of {radius:.7g}: its own code is at fault")
    return size
