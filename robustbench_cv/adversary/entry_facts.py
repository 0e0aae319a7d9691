"""What the catalogue says of an attack beside its built parts: its title, and how much its entry would let it try.

Stored with its condition: reports print these, and read no name.
"""

from __future__ import annotations

import warnings

import msgspec

from robustbench_cv.adversary.attack_facts import AttackFacts, facts_of
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.specs import Spec


class EntryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """title: the attack's own name. own: the budget and cost of the same attack as its entry gives them by itself; None where it is not
    registered, or needs arguments."""

    title: str = ""
    own: AttackFacts | None = None


def entry_facts_of(spec: str) -> EntryFacts:
    """Of the attack that a spec names; nothing of one of a file."""
    try:
        entry = ATTACKS.entry(Spec.parse(spec).name)
    except UserError:
        return EntryFacts()
    return EntryFacts(title=str(entry.facts.get("title", "")), own=_own(entry.name))


def _own(name: str) -> AttackFacts | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return facts_of(ATTACKS.build(name))
    except (UserError, ImportError):  # it needs arguments, or a package that is not here
        return None


def below_own_strength(facts: AttackFacts, entry: EntryFacts) -> str:
    """What an attack was given less of than its catalogue entry gives by itself: "50 queries"; empty where of nothing.

    >>> own = AttackFacts(steps=40, restarts=2)
    >>> below_own_strength(AttackFacts(steps=10, restarts=2), EntryFacts(own=own))
    '10 × 2 steps'
    >>> below_own_strength(AttackFacts(steps=100), EntryFacts(own=own))
    ''
    """
    own = entry.own
    if own is None:
        return ""
    if own.queries is not None and facts.queries is not None and not own.fitted:
        return f"{facts.queries:,} queries" if facts.queries < own.queries else ""
    if own.steps is None or facts.steps is None or facts.steps * facts.restarts >= own.steps * own.restarts:
        return ""
    runs = f" × {facts.restarts}" if facts.restarts > 1 else ""
    return f"{facts.steps:,}{runs} step{'s' if facts.steps != 1 or runs else ''}"
