"""Conditions that predictions are given under: no edit at all, or an edit that takes no model to make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robustbench_cv.catalogue import ATTACKS, INTERVENTIONS
from robustbench_cv.errors import UserError
from robustbench_cv.specs import Spec
from robustbench_cv.suite import CLEAN, Condition


def edit_condition(text: str) -> Condition:
    """The condition that "clean" or the spec of an edit names. UserError for an attack, which searches the model itself for what misleads
    it, and for what is not there."""
    if text == CLEAN.name:
        return CLEAN
    spec = Spec.parse(text)
    if spec.name in ATTACKS.names():
        raise UserError(
            f"{spec.name} is an attack: its images are searched for on the model itself, which is not here; `robustbench-cv run "
            f'"{text}" --model ...` attacks a model that can be built, and edits are listed by `robustbench-cv list interventions`'
        )
    INTERVENTIONS.check(text)
    return Condition(text, (text,))


def split_condition(text: str) -> tuple[str, Path]:
    """Condition, empty where none is named, and path, of "CONDITION=PATH": the first "=" outside brackets and quotes divides them.

    >>> split_condition("jpeg-compression(severity=3)=out/a.json")
    ('jpeg-compression(severity=3)', PosixPath('out/a.json'))
    """
    if Path(text).exists():
        return "", Path(text)
    depth, quote, at = 0, "", None
    for k, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "=" and depth == 0 and at is None:
            at = k
    return ("", Path(text)) if at is None else (text[:at].strip(), Path(text[at + 1 :]))


def with_placebos(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """The conditions, those that are the placebo of another one among them marked as such; none is added."""
    placebo_of: dict[str, str] = {}
    for condition in conditions:
        for spec in condition.interventions:
            control = INTERVENTIONS.build(spec).control
            if control is not None:
                placebo_of.setdefault(str(Spec.parse(control)), condition.name)
    marked = []
    for condition in conditions:
        of = placebo_of.get(str(Spec.parse(condition.interventions[0]))) if condition.interventions else None
        other = of if of != condition.name else None
        marked.append(condition if other is None else Condition(condition.name, condition.interventions, control_of=other))
    return tuple(marked)
