"""One attack towards each of the likeliest wrong classes in turn: what APGD-T and FAB-T share (Croce & Hein, ICML 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from robustbench_cv.adversary.attack import Attack
from robustbench_cv.adversary.attack_facts import AttackFacts, facts_of_parts, within
from robustbench_cv.adversary.combinators.multi_target import search_targets
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.criteria import Success
from robustbench_cv.adversary.objectives.classification import RankedWrongClasses, margin
from robustbench_cv.adversary.references import Aim, Clean, Reference, annotated
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
        return annotated

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
    def untargeted(self) -> Attack[Logits]:
        """The same search on the plain margin: for whoever wants to see how it goes."""
        part = self.parts[0]
        return Attack(part.name, margin(), part.success, part.constraint, part.optimizer, part.steps, part.restarts, part.start, part.keep)

    def search(self, victim: Victim[Logits], /) -> SearchResult:
        found, raw = _looked_at(self.name, victim, self.success)
        survivors = ((found.degree < self.success.threshold) & ~found.non_finite).nonzero()[:, 0]
        if len(survivors):
            # Any search is better than none: it replaces the clean image.
            found.degree[survivors] = -1.0
            ranked = victim.aimed_at(_ranked_wrong_classes(raw, victim.goals)).select(survivors)
            found.merge(survivors, worst_of(self._searches(raw.values.shape[1] - 1), ranked, self.success.threshold))
        return found

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
    reference: Reference = annotated
    accepts: type[Logits] = Logits

    @property
    def facts(self) -> AttackFacts:
        return within(self.constraint.norm, self.constraint.radius, steps=0)

    def search(self, victim: Victim[Logits], /) -> SearchResult:
        return _looked_at(self.name, victim, self.success)[0]


def _looked_at(name: str, victim: Victim[Logits], success: Success) -> tuple[SearchResult, Logits]:
    """The clean images, judged, and their logits: one forward pass."""
    with torch.no_grad():
        raw = victim.model.raw(victim.x0)
    require_raw(name, Logits, raw)
    found = SearchResult.untouched(victim.x0, forwards=1)
    found.non_finite = non_finite(raw).cpu()
    found.degree = victim.judge(success, raw).masked_fill(found.non_finite, 0.0)
    return found, raw


def _without_first(goal: RankedWrongClasses, count: int) -> RankedWrongClasses:
    return RankedWrongClasses(goal.label, goal.others[count:])


def ranked_wrong_classes(clean: Clean[Logits]) -> Aim[RankedWrongClasses]:
    """The annotated class of each image, and the others as the model ranks them on the clean image."""
    aim = annotated(clean)
    return Aim(aim.provenance, _ranked_wrong_classes(clean.raw, aim.goals), aim.references, aim.skipped)


def _ranked_wrong_classes(raw: Logits, goals: Sequence[Target]) -> list[RankedWrongClasses]:
    # An image without a right class is not attacked: its rank does not matter.
    labels = torch.tensor([cast(ClassTarget, goal).label for goal in goals]).clamp(min=0)
    order = raw.values.detach().cpu().scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    return [RankedWrongClasses(int(label), tuple(row[:-1])) for label, row in zip(labels, order.tolist(), strict=True)]
