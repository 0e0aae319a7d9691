"""Attacks as a paper names them, and what a caption must say of the adversary, the samples and the checks: from stored facts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from robustbench_cv.adversary.attack_facts import AttackFacts, Knowledge, Norm
from robustbench_cv.adversary.entry_facts import EntryFacts, below_own_strength
from robustbench_cv.check_findings import Verdict
from robustbench_cv.rendering import reporting
from robustbench_cv.results import Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

KNOWLEDGE: dict[Knowledge, str] = {
    "gradients": "white box: weights and gradients",
    "scores": "black box: the model's scores",
    "decisions": "black box: the model's decisions",
    "another model": "nothing of this model: found on another one",
    "": "not declared",
}
"""What an adversary sees, in words."""

_CHANGES: dict[Norm, str] = {
    "linf": "a change of at most the stated budget in every pixel (L∞)",
    "l2": "a change whose L2 norm is at most the stated budget",
    "l1": "a change whose L1 norm is at most the stated budget",
    "l0": "a change of at most the stated number of pixels",
    "area": "free changes on the stated share of the image",
    "range": "turns and shifts within the stated share of their range",
}


def attack_title(results: Results, task: Task, condition: Condition) -> str:
    """What a heading calls an attack, with what it was given less of than its entry's own: "AutoAttack, 50 queries"."""
    facts, entry = _facts_of(results, task, condition)
    title = entry.title or condition.curve or condition.name
    less = below_own_strength(facts, entry)
    return f"{title}, {less}" if less else title


def budget_heading(results: Results, task: Task, condition: Condition) -> str:
    """The budget as a heading: "8/255", "L2 0.5"; "free" where nothing bounds the attack."""
    facts, _ = _facts_of(results, task, condition)
    text = reporting.budget_of(facts)
    norm = "" if facts.norm == "linf" else f"{reporting.NORMS[facts.norm]} "
    return "free" if text in (None, "none") else f"{norm}{text}"


def adversary_text(results: Results, task: Task, conditions: Sequence[Condition]) -> str:
    """What these attacks may do, know and are out for, in sentences; empty where there is none."""
    every = [_facts_of(results, task, c)[0] for c in conditions if c.kind == "attack"]
    real = [facts for facts in every if not facts.is_control]
    if not real:
        return ""
    allowed = list(dict.fromkeys(_CHANGES[f.norm] for f in real if f.norm in _CHANGES and f.radius is not None))
    free = [f for f in real if f.radius is None]
    changes = [*allowed, *(["as small a change as they find, without a bound"] if free else [])]
    known = list(
        dict.fromkeys(KNOWLEDGE[f.knowledge] + (", fitted once on other samples" if f.fitted else "") for f in real if f.knowledge)
    )
    goals = list(dict.fromkeys(f.goal for f in real if f.goal))
    parts = [
        f"Attacks make {' or '.join(changes)}." if changes else "",
        f"Knowledge: {'; '.join(known)}." if known else "The runs do not say what the adversary knows.",
        f"Goal: {'; '.join(goals)}." if goals else "",
    ]
    return " ".join(part for part in parts if part)


def weakened_text(results: Results, task: Task, conditions: Sequence[Condition]) -> str:
    """What a name such as "PGD, 10 steps" means; empty where no attack is named so."""
    attacks = [c for c in conditions if c.kind == "attack"]
    if not any(below_own_strength(*_facts_of(results, task, c)) for c in attacks):
        return ""
    return "Steps or queries stand in the name of an attack that had fewer of them than its catalogue entry gives by itself."


def run_text(results: Results) -> str:
    """The suite, its seed, the version that evaluated it, and what the checks said."""
    run = results.run
    version = run.versions.get("robustbench-cv", "of an unknown version")
    return f"Suite {run.suite}, version {run.version}; seed {run.seed}; robustbench-cv {version}. {checks_text(results)}"


def checks_text(results: Results) -> str:
    """How many checks said what, and how many attacks nobody judged."""
    counts: Counter[Verdict] = Counter(f.verdict for f in results.findings)
    words: tuple[tuple[Verdict, str], ...] = (("stop", "stopped"), ("warn", "warned"), ("pass", "passed"), ("note", "noted"))
    said = ", ".join(f"{counts[verdict]} {word}" for verdict, word in words if counts[verdict])
    unjudged, attacks = reporting.unjudged_attacks(results)
    rest = f" {unjudged} of {attacks} attacks not judged for strength." if unjudged else ""
    return (f"Checks: {said}." if said else "No check has run.") + rest


def _facts_of(results: Results, task: Task, condition: Condition) -> tuple[AttackFacts, EntryFacts]:
    facts = results.facts(task, condition.name)
    return facts.attack or AttackFacts(), facts.entry or EntryFacts()
