"""Titles and own strengths of attacks are those that their catalogue entries declare."""

from __future__ import annotations

import pytest

from robustbench_cv.adversary.attack_facts import facts_of
from robustbench_cv.adversary.entry_facts import EntryFacts, below_own_strength, entry_facts_of
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError


@pytest.mark.parametrize("name", ATTACKS.names())
def test_every_attack_says_what_it_is_called(name: str) -> None:
    assert ATTACKS.entry(name).facts.get("title")


@pytest.mark.parametrize("name", ATTACKS.names())
def test_every_attack_says_what_its_adversary_knows_and_wants(name: str) -> None:
    """But for those of other libraries, of which nothing is declared, and what needs arguments."""
    try:
        facts = facts_of(ATTACKS.build(name))
    except UserError:
        pytest.skip("it needs arguments")
    assert facts.goal
    assert facts.knowledge or facts.is_control


@pytest.mark.parametrize(
    ("spec", "less"),
    [
        ("pgd(steps=10)", "10 steps"),
        ("pgd()", ""),
        ("pgd(steps=80)", ""),
        ("pgd(steps=20, restarts=2)", ""),
        ("square(queries=50)", "52 queries"),
        ("autoattack(steps=2, queries=10)", "48 steps"),
        ("cw-l2(steps=2, searches=2)", "4 steps"),
    ],
)
def test_an_attack_below_its_own_strength_says_so(spec: str, less: str) -> None:
    built = ATTACKS.build(spec)
    assert below_own_strength(facts_of(built), entry_facts_of(spec)) == less


def test_what_no_registry_has_claims_nothing() -> None:
    assert entry_facts_of("mine.py:attack") == EntryFacts()
