"""Attacks that are told decisions only: broken or not, as judged on decoded predictions. No scores, no gradients, for any task.

Such a search is a conversation for each sample, a generator that asks stacks of images and is told which of them break it. All
conversations of a batch go on at once, their images packed into common forward passes; each has its own budget, keeps nothing of the
others, and ends when it is spent. Whatever a search does, its result is the nearest image of all that it was told to be broken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias

import torch
from torch import Tensor

from robustbench_cv.adversary.attack_facts import AttackFacts, within
from robustbench_cv.adversary.attack_references import Reference, annotated_targets
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.criteria import Success
from robustbench_cv.adversary.victim import SearchResult, Victim, checked_size, non_finite, require_raw
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import R

Conversation: TypeAlias = Generator[Tensor, Tensor, None]
"""Yields images (k, 3, H, W) in [0, 1], is sent bool (k,): which of them are broken. Ends when it has nothing more to ask."""

FEWEST_IN_A_PASS = 16
"""Images packed into one pass where the batch itself is smaller."""


@dataclass(frozen=True, kw_only=True)
class Decisions(Generic[R]):
    """A search by decisions, of at most `queries` images for each sample, and one pass more where its result had to be cut to the budget.

    With a finite radius it ends once a broken image lies inside; with an infinite one it spends its queries on coming nearer, and `size`
    is the distance. converse: (clean image (1, 3, H, W), the sample's noise) -> what it asks.
    """

    name: str
    accepts: type[R]
    success: Success
    constraint: Constraint
    converse: Callable[[Tensor, Noise], Conversation]
    queries: int
    reference: Reference = annotated_targets

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise UserError(f"{self.name}: queries={self.queries} must be at least 1")

    @property
    def facts(self) -> AttackFacts:
        return within(self.constraint.norm, self.constraint.radius, queries=self.queries + 1, knowledge="decisions")

    def search(self, victim: Victim[R], /) -> SearchResult:
        """The nearest broken image of each sample, or what is left of it inside the budget."""
        talks = [_Talk(self, victim.select(torch.tensor([i]))) for i in range(len(victim.x0))]
        speaking = [i for i, talk in enumerate(talks) if talk.question is not None]
        while speaking:
            asked = torch.cat([question for i in speaking if (question := talks[i].question) is not None])
            whose = torch.tensor([i for i in speaking for _ in range(talks[i].length)])
            broken, strange = self._decide(victim, asked, whose)
            for i in speaking:
                mine = whose == i
                talks[i].hear(broken[mine], strange[mine])
            speaking = [i for i in speaking if talks[i].question is not None]
        return self._judge(victim, talks)

    def _decide(self, victim: Victim[R], images: Tensor, whose: Tensor) -> tuple[Tensor, Tensor]:
        """Which images are broken, and on which the model broke down: bool, on the CPU."""
        broken, strange = [], []
        for part in torch.split(torch.arange(len(images)), max(len(victim.x0), FEWEST_IN_A_PASS)):
            with torch.no_grad():
                raw: R = victim.model.raw(images[part.to(images.device)])
            require_raw(self.name, self.accepts, raw)
            degree = victim.select(whose[part]).judge(self.success, raw)
            broken.append(degree >= self.success.threshold)
            strange.append(non_finite(raw).cpu())
        return torch.cat(broken), torch.cat(strange)

    def _judge(self, victim: Victim[R], talks: list[_Talk]) -> SearchResult:
        failed = torch.tensor([talk.failed for talk in talks])
        x0 = victim.x0
        nearest = torch.cat([talk.nearest for talk in talks])
        images = self.constraint.project(x0, nearest) if math.isfinite(self.constraint.radius) else nearest
        # Whoever was told so inside the budget needs no second look.
        known = torch.tensor([talk.has_broken_image and talk.distance <= self.constraint.radius for talk in talks])
        images = torch.where(known.to(x0.device)[:, None, None, None], nearest, images)
        degree, again = known.float(), (~known & ~failed).nonzero()[:, 0]
        if len(again):
            with torch.no_grad():
                raw: R = victim.model.raw(images[again.to(x0.device)])
            failed[again] |= non_finite(raw).cpu()
            degree[again] = victim.select(again).judge(self.success, raw)
        images = torch.where(failed.to(x0.device)[:, None, None, None], x0, images)
        size = checked_size(self.name, self.constraint.measure, self.constraint.radius, x0, images)
        forwards = torch.tensor([talk.asked for talk in talks])
        forwards[again] += 1
        nothing = torch.zeros_like(forwards)
        return SearchResult(
            images=images,
            degree=degree.masked_fill(failed, 0.0),
            size=size,
            forwards=forwards,
            backwards=nothing,
            zero_grads=nothing.clone(),
            non_finite=failed,
        )


class _Talk:
    """One sample's conversation: its budget, and the nearest broken image so far (the clean one, infinitely far, before there is any)."""

    def __init__(self, attack: Decisions[Any], alone: Victim[Any]) -> None:
        self._attack = attack
        self._x0 = self.nearest = alone.x0
        self.distance = math.inf
        self.asked = 0
        self.failed = False
        self._conversation = attack.converse(alone.x0, alone.noise)
        self.question: Tensor | None = None
        self._take(next(self._conversation, None))

    @property
    def length(self) -> int:
        """How many images are asked now."""
        return 0 if self.question is None else len(self.question)

    @property
    def has_broken_image(self) -> bool:
        """Whether any image was broken."""
        return not math.isinf(self.distance)

    def hear(self, broken: Tensor, strange: Tensor) -> None:
        """The answers to the question: bool (k,) on the CPU. strange: the model broke down."""
        images, self.question = self.question, None
        assert images is not None
        self.asked += len(images)
        self.failed = bool(strange.any())
        if self.failed:
            return
        if bool(broken.any()):
            broken_images = images[broken.to(images.device)]
            distances = self._attack.constraint.measure(self._x0.expand_as(broken_images), broken_images)
            if float(distances.min()) < self.distance:
                self.nearest, self.distance = broken_images[distances.argmin()][None], float(distances.min())
        if math.isinf(self._attack.constraint.radius) or self.distance > self._attack.constraint.radius:
            try:
                self._take(self._conversation.send(broken))
            except StopIteration:
                return

    def _take(self, question: Tensor | None) -> None:
        left = self._attack.queries - self.asked
        if question is not None and 0 < len(question) <= left:
            self.question = question
