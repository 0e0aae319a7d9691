"""What a check declares of itself: when it runs, what it costs, what it does, what it shows. Each finding is held to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.check_findings import SEVERITY, Finding, Verdict

STAGES = {
    "data": "of the data, before a run",
    "before": "before a run",
    "attack": "after each attack",
    "after": "after a run",
}
"""When a check runs, by what its marker says."""

COSTS = {
    "data": "reads samples, asks no model",
    "passes": "forward passes, up to 64 samples",
    "search": "forward passes, 64 to 512 samples",
    "gradients": "gradients, up to 16 samples",
    "attacks": "further attacks on a few survivors",
    "records": "reads the records",
}
"""What a check costs, by what its marker says."""

T = TypeVar("T", bound=Iterable[Finding])


def check_names(stage: str) -> list[str]:
    """The registered checks of a stage ("data", "before", "attack", "after"), by name."""
    return [name for name, entry in sorted(CHECKS.entries().items()) if entry.facts.get("stage") == stage]


def id_and_title(name: str) -> tuple[str, str]:
    """Of a check by its registered name: by these a finding says whose it is, and --allow and docs/checks.md name it.

    >>> id_and_title("s07-batch")
    ('S07', 'batch')
    """
    id_, _, title = name.partition("-")
    return id_.upper(), title.replace("-", " ")


def actions(name: str) -> tuple[Verdict, ...]:
    """What a check may do beside passing, the severest first: "stop", "warn", "note"."""
    said = str(CHECKS.entry(name).facts.get("action", "")).split()
    return tuple(v for v in SEVERITY if v in said)


def held(name: str, findings: T) -> T:
    """The findings of a check, which may say what it declares and no more; one of a plug-in that declares nothing may say anything.

    ValueError: a fault of the check, not of what it examined.
    """
    for finding in findings:
        if "action" in CHECKS.entry(name).facts and finding.verdict not in (*actions(name), "pass", "not applicable"):
            declared = " or ".join(actions(name)) or "nothing"
            raise ValueError(f"check {name} says {finding.verdict!r} and declares {declared}; name it in @check(action=...)")
    return findings
