"""What a built attack is: its norm, radius, steps, restarts and queries, as its own parts declare them, stored with its condition.

Reports print these and group by them; none reads a spec or a name to learn what an attack does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

Norm: TypeAlias = Literal["linf", "l2", "l1", "l0", "area", "range", ""]
"""What a radius measures: a norm of the change; the share of the image's area that may change ("area"); the share of a range of turns and
shifts ("range"); "" where none of these."""

Judged: TypeAlias = Literal["", "sampled", "plain", "shuffled"]
"""Of a perturbation that all samples share: under its random conditions, straight on in even light, or with its control in its place."""


Knowledge: TypeAlias = Literal["gradients", "scores", "decisions", "another model", ""]
"""What a search sees of the model under attack: its gradients; the scores that it gives; its decisions alone; nothing but what another
model gives; "" where that is not declared."""


class AttackFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A built attack's budget and cost.

    radius: in units of `norm`, [0, 1] pixel units for norms of the change; None where there is no bound, or no single one.
    steps: of one run of the search; None where it takes none that can be counted. restarts: how many such runs a sample may get, be it
    from several starts or towards several classes. queries: the most images of one sample that the model is asked, of searches that use
    no gradient and of what is fitted beforehand; None for the others. is_control: it attacks nothing (random noise).
    fitted: all samples share what it found on others; steps are then those of the fit. fit: equal for attacks that show the same fit.
    parts: the facts of an ensemble's parts, where these differ. swaps_background: it leaves the object's pixels alone and chooses what is
    behind them, among as many backgrounds as it has queries. knowledge: of an ensemble, the most that any part has. goal: its criterion,
    in words: when a sample counts as broken.
    """

    norm: Norm = ""
    radius: float | None = None
    steps: int | None = None
    restarts: int = 1
    queries: int | None = None
    is_control: bool = False
    fitted: bool = False
    fit: str = ""
    judged: Judged = ""
    parts: tuple[AttackFacts, ...] = ()
    swaps_background: bool = False
    knowledge: Knowledge = ""
    goal: str = ""


@runtime_checkable
class _DeclaresFacts(Protocol):
    """An adversary that says what it is."""

    @property
    def facts(self) -> AttackFacts: ...


MOST_FIRST: tuple[Knowledge, ...] = ("gradients", "scores", "decisions", "another model")
"""Who knows the former can do what the latter do."""


def facts_of(attack: Any) -> AttackFacts:
    """What anything that `run` can run says of itself; an adversary without `facts`, by its `constraint` and `steps` where it has them.

    >>> from robustbench_cv.catalogue import ATTACKS
    >>> facts = facts_of(ATTACKS.build("cw-l2(steps=20, searches=7)"))
    >>> facts.norm, facts.radius, facts.steps
    ('l2', None, 140)
    """
    goal = str(getattr(getattr(attack, "success", None), "criterion", ""))
    if isinstance(attack, _DeclaresFacts):
        return msgspec.structs.replace(attack.facts, goal=goal)
    steps, region = getattr(attack, "steps", None), getattr(attack, "constraint", None)
    return within(getattr(region, "norm", ""), getattr(region, "radius", None), steps=steps if isinstance(steps, int) else None, goal=goal)


def within(norm: Norm, radius: float | None, **facts: Any) -> AttackFacts:
    """Facts of a search within a radius; None, as an infinite one: within none."""
    return AttackFacts(norm=norm, radius=None if radius is None or not math.isfinite(radius) else float(radius), **facts)


def facts_of_parts(parts: Sequence[AttackFacts]) -> AttackFacts:
    """Of one or more attacks in turn. Equal ones are restarts of one another; of others the steps and queries of all together, with the
    budget where they share one."""
    first = parts[0]
    if all(_one_run(first) == _one_run(part) for part in parts):
        runs = sum(part.restarts for part in parts)
        queries = None if first.queries is None else first.queries // first.restarts * runs
        return msgspec.structs.replace(first, restarts=runs, queries=queries)
    most: Knowledge = ""
    for knowledge in reversed(MOST_FIRST):
        if any(part.knowledge == knowledge for part in parts):
            most = knowledge
    shared = first if all((p.norm, p.radius) == (first.norm, first.radius) for p in parts) else AttackFacts()
    return AttackFacts(
        norm=shared.norm,
        radius=shared.radius,
        steps=_total([None if p.steps is None else p.steps * p.restarts for p in parts]),
        queries=_total([p.queries for p in parts]),
        parts=tuple(parts),
        knowledge=most,
    )


def _one_run(facts: AttackFacts) -> AttackFacts:
    """The same for a single run."""
    return msgspec.structs.replace(facts, restarts=1, queries=None if facts.queries is None else facts.queries // facts.restarts)


def _total(counts: Sequence[int | None]) -> int | None:
    """The sum; None where any of them is unknown."""
    return None if any(count is None for count in counts) else sum(count or 0 for count in counts)
