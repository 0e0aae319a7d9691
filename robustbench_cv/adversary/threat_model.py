"""Who attacks: what the adversary knows, what it is out for, and how much its catalogue entry would let it try.

As its entry and its built parts declare it, stored with its condition: reports print these, and read no name.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, TypeAlias

import msgspec

from robustbench_cv.adversary.attack_facts import AttackFacts, facts_of
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.specs import Spec

Knowledge: TypeAlias = Literal["white-box", "black-box", "fitted beforehand", ""]
"""Gradients of the model; its answers, or another model's gradients; samples on which one change for all is fitted; "": nobody says."""


class ThreatModel(msgspec.Struct, frozen=True, kw_only=True):
    """An adversary as a caption needs it.

    title: the attack's own name. goal: when it counts as done. own: the budget and cost of the same attack with the steps, restarts and
    queries of its catalogue entry; None where it is not registered, or needs arguments.
    """

    title: str = ""
    goal: str = ""
    knowledge: Knowledge = ""
    own: AttackFacts | None = None


def threat_model_of(spec: str, built: Any) -> ThreatModel:
    """Of an attack, by its spec and as it was built."""
    goal = str(getattr(getattr(built, "success", None), "criterion", ""))
    try:
        entry = ATTACKS.entry(Spec.parse(spec).name)
    except UserError:
        return ThreatModel(goal=goal)
    facts = facts_of(built)
    uses_gradients = entry.facts.get("gradient", True) is not False
    knowledge: Knowledge = "fitted beforehand" if facts.fitted else "white-box" if uses_gradients else "black-box"
    return ThreatModel(
        title=str(entry.facts.get("title", "")), goal=goal, knowledge="" if facts.is_control else knowledge, own=_own(entry.name)
    )


def _own(name: str) -> AttackFacts | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return facts_of(ATTACKS.build(name))
    except (UserError, ImportError):  # it needs arguments, or a package that is not here
        return None


def below_own_strength(facts: AttackFacts, threat: ThreatModel) -> str:
    """What an attack was given less of than its catalogue entry gives by itself: "50 queries"; empty where of nothing.

    >>> own = AttackFacts(steps=40, restarts=2)
    >>> below_own_strength(AttackFacts(steps=10, restarts=2), ThreatModel(own=own))
    '10 × 2 steps'
    >>> below_own_strength(AttackFacts(steps=100), ThreatModel(own=own))
    ''
    """
    own = threat.own
    if own is None:
        return ""
    if own.queries is not None and facts.queries is not None and not own.fitted:
        return f"{facts.queries:,} queries" if facts.queries < own.queries else ""
    if own.steps is None or facts.steps is None or facts.steps * facts.restarts >= own.steps * own.restarts:
        return ""
    runs = f" × {facts.restarts}" if facts.restarts > 1 else ""
    return f"{facts.steps:,}{runs} step{'s' if facts.steps != 1 or runs else ''}"
