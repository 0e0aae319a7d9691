"""One attack towards each of the likeliest wrong classes in turn: what APGD-T and FAB-T share (Croce & Hein, ICML 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from robustbench_cv.adversary.attack import Attack
from robustbench_cv.adversary.attack_facts import AttackFacts, facts_of_parts, within
from robustbench_cv.adversary.attack_references import Aim, Clean, Reference, annotated_targets
from robustbench_cv.adversary.combinators.multi_target import search_targets
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.criteria import Success
from robustbench_cv.adversary.objectives.classification import RankedWrongClasses, margin
from robustbench_cv.adversary.victim import SearchResult, Victim, non_finite, require_raw, worst_of
from robustbench_cv.types import ClassTarget, Logits, Target


@dataclass(frozen=True)
class Targeted:
    """Attacks whose k-th is aimed at the k-th likeliest wrong class, else alike: the likeliest first, then all others side by side.

    A sample is broken by any wrong class, not the aimed one alone, and leaves with all its aims. Samples that are misclassified as they
    are count as broken by no change. A model of K classes has K - 1 targets, and the parts beyond them do not run. Without a bound, where
    the closest image counts, one target after the other.
    """

    name: str
    parts: tuple[Attack[Logits, RankedWrongClasses], ...]

    @property
    def success(self) -> Success:
        return self.parts[0].success

    @property
    def reference(self) -> Reference:
        """The annotated classes; the others are ranked when the search looks at the clean images."""
        return annotated_targets

    @property
    def accepts(self) -> type[Logits]:
        return Logits

    @property
    def constraint(self) -> Constraint:
        return self.parts[0].constraint

    @property
    def facts(self) -> AttackFacts:
        return facts_of_parts([part.facts for part in self.parts])

    @property
    def untargeted_attack(self) -> Attack[Logits]:
        """The first search without its targets, on the plain margin: what the checks of a search's progress run."""
        part = self.parts[0]
        return Attack(
            name=part.name,
            objective=margin(),
            success=part.success,
            constraint=part.constraint,
            optimizer=part.optimizer,
            steps=part.steps,
            restarts=part.restarts,
            start=part.start,
            keep=part.keep,
        )

    def search(self, victim: Victim[Logits], /) -> SearchResult:
        result, raw = _judge_clean(self.name, victim, self.success)
        survivors = ((result.degree < self.success.threshold) & ~result.non_finite).nonzero()[:, 0]
        if len(survivors):
            # Any search is better than none: it replaces the clean image.
            result.degree[survivors] = -1.0
            ranked = victim.aimed_at(_ranked_wrong_classes(raw, victim.goals)).select(survivors)
            result.merge(survivors, worst_of(self._searches(raw.values.shape[1] - 1), ranked, self.success.threshold))
        return result

    def _searches(self, aims: int) -> list[Callable[[Victim[Logits, RankedWrongClasses]], SearchResult]]:
        first, *others = self.parts[:aims]
        if len(others) < 2 or first.keep != "first" or first.restarts > 1:
            return [part.search for part in (first, *others)]
        # The second part reads a goal's second rival: as many first ones are left out as bring each rival there.
        return [first.search, lambda victim: search_targets(others[0], victim, len(others), _without_first)]


@dataclass(frozen=True)
class CleanImage:
    """Nothing done to the image: which samples are misclassified before any attack."""

    constraint: Constraint
    success: Success
    name: str = "clean"
    reference: Reference = annotated_targets
    accepts: type[Logits] = Logits

    @property
    def facts(self) -> AttackFacts:
        return within(self.constraint.norm, self.constraint.radius, steps=0)

    def search(self, victim: Victim[Logits], /) -> SearchResult:
        return _judge_clean(self.name, victim, self.success)[0]


def _judge_clean(name: str, victim: Victim[Logits], success: Success) -> tuple[SearchResult, Logits]:
    """The clean images, judged, and their logits: one forward pass."""
    with torch.no_grad():
        raw = victim.model.raw(victim.x0)
    require_raw(name, Logits, raw)
    result = SearchResult.of_clean_images(victim.x0, forwards=1)
    result.non_finite = non_finite(raw).cpu()
    result.degree = victim.judge(success, raw).masked_fill(result.non_finite, 0.0)
    return result, raw


def _without_first(goal: RankedWrongClasses, count: int) -> RankedWrongClasses:
    return RankedWrongClasses(goal.label, goal.others[count:])


def ranked_wrong_classes(clean: Clean[Logits]) -> Aim[RankedWrongClasses]:
    """The annotated class of each image, and the others as the model ranks them on the clean image."""
    aim = annotated_targets(clean)
    return Aim(aim.provenance, _ranked_wrong_classes(clean.raw, aim.goals), aim.references, aim.skipped)


def _ranked_wrong_classes(raw: Logits, goals: Sequence[Target]) -> list[RankedWrongClasses]:
    # An image without a right class is not attacked: its rank does not matter.
    labels = torch.tensor([cast(ClassTarget, goal).label for goal in goals]).clamp(min=0)
    order = raw.values.detach().cpu().scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    return [RankedWrongClasses(int(label), tuple(row[:-1])) for label, row in zip(labels, order.tolist(), strict=True)]
