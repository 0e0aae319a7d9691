"""What a check says, and what becomes of the numbers it says it of."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

Verdict = Literal["pass", "note", "warn", "stop", "not applicable"]

SEVERITY: tuple[Verdict, ...] = ("stop", "warn", "note", "pass", "not applicable")

Code = Literal["", "attack-strength", "nothing-to-break", "no-skill", "detections-capped"]
"""Which finding this is, for programs; its title and evidence are for people.

attack-strength: the verdict on an attack. nothing-to-break: the same, where the unchanged images met the criterion already. no-skill: the
model does no better than chance, or finds nothing. detections-capped: images hold more objects of a class than average precision counts.
"""

STRENGTH = "attack strength"
"""Title of that verdict."""


@dataclass(frozen=True)
class Fix:
    """What to write where. line: of Python or of the command line, as it must be. place: where it belongs, in words.

    arguments: of a model's spec (file.py:factory of a bare module), name and text of each; an empty text: leave it out.
    """

    line: str
    place: str
    arguments: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Finding:
    """What one check says. evidence: the measured numbers; remedy: what to do, empty when it passed. "stop" blocks the affected numbers.

    model, dataset, condition, task: what it was said of; empty means all (models of two tasks may share a name). gain: by how much the
    remedy would raise the quality of the predictions, in [0, 1], where the check measured it: of several checks that would mend the same
    fault, the greatest names the cause. code: which of its findings this is, for programs; empty for most. fix: the corrected line of
    configuration, where the check can name it.
    """

    check: str
    title: str
    verdict: Verdict
    evidence: str
    remedy: str = ""
    _: KW_ONLY
    model: str = ""
    dataset: str = ""
    condition: str = ""
    gain: float | None = None
    task: str = ""
    code: Code = ""
    fix: Fix | None = None

    @property
    def is_strength(self) -> bool:
        """Whether this is the verdict on an attack."""
        return self.code in ("attack-strength", "nothing-to-break")
