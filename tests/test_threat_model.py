"""What a caption says of an adversary comes from facts that its entry and its parts declare."""

from __future__ import annotations

import pytest

from robustbench_cv.adversary.attack_facts import facts_of
from robustbench_cv.adversary.threat_model import below_own_strength, threat_model_of
from robustbench_cv.catalogue import ATTACKS


@pytest.mark.parametrize("name", ATTACKS.names())
def test_every_attack_says_what_it_is_called(name: str) -> None:
    assert ATTACKS.entry(name).facts.get("title")


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
    assert below_own_strength(facts_of(built), threat_model_of(spec, built)) == less


@pytest.mark.parametrize(
    ("spec", "knowledge", "goal"),
    [
        ("pgd()", "white-box", "misclassified"),
        ("square()", "black-box", "misclassified"),
        ("universal()", "fitted beforehand", "misclassified"),
    ],
)
def test_knowledge_and_goal_are_those_declared(spec: str, knowledge: str, goal: str) -> None:
    threat = threat_model_of(spec, ATTACKS.build(spec))
    assert (threat.knowledge, threat.goal) == (knowledge, goal)


def test_a_control_has_no_knowledge() -> None:
    assert threat_model_of("noise()", ATTACKS.build("noise()")).knowledge == ""


def test_what_no_registry_has_claims_nothing() -> None:
    threat = threat_model_of("mine.py:attack", ATTACKS.build("pgd()"))
    assert (threat.title, threat.knowledge, threat.own) == ("", "", None)
