"""Conditions as short as people write them in YAML, written out: a spec alone, an attack at several budgets, one edit without a list."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from robustbench_cv.arguments import shorten
from robustbench_cv.catalogue import ATTACKS, INTERVENTIONS
from robustbench_cv.command_line_suite import at_budgets, condition_name
from robustbench_cv.errors import UserError
from robustbench_cv.msgspec_messages import in_words
from robustbench_cv.specs import Spec
from robustbench_cv.suite import Condition, Fault


class Budgets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attack at several budgets, a condition each, on one curve: as `budgets` in Python.

    attack: a spec without eps. budgets: numbers in [0, 1] pixel units, such as 8/255. name: of the curve; the attack's own unless given.
    """

    attack: str
    budgets: tuple[str | float, ...]
    name: str = ""
    interventions: tuple[str, ...] = ()
    warm: bool = False


class Written(NamedTuple):
    """A list of conditions with each one written out.

    origins: at which position of the short list each stands. faults: of those that mean nothing, in whose place one stands that has their
    name alone; a fault's path begins at the list.
    """

    conditions: list[object]
    origins: list[int]
    faults: list[Fault]


def written_out(conditions: list[object]) -> Written:
    """The list with short forms in full; what is none is left as it is.

    >>> [c["name"] for c in written_out(["clean", {"attack": "pgd", "budgets": ["1/255", "8/255"]}, "remove()"]).conditions]
    ['clean', 'pgd 1/255', 'pgd 8/255', 'remove()']
    """
    made = Written([], [], [])
    for i, short in enumerate(conditions):
        try:
            full = list(_in_full(short))
        except (UserError, msgspec.ValidationError) as error:
            way_out = "; write attack: and budgets: as in {attack: pgd, budgets: [1/255, 8/255]}"
            made.faults.append(Fault((i,), str(error) if isinstance(error, UserError) else f"{in_words(error)}{way_out}"))
            full = [{"name": name} for name in _names(short)]
        made.conditions.extend(full)
        made.origins.extend([i] * len(full))
    return made


def _names(short: object) -> list[str]:
    """What the conditions of a short one would be called."""
    if not isinstance(short, dict):
        return [condition_name(str(short))]
    name = str(short.get("name") or short.get("attack"))
    budgets = short.get("budgets")
    return [condition_name(f"{name} {budget}") for budget in budgets] if isinstance(budgets, list) and budgets else [condition_name(name)]


def _in_full(short: object) -> Iterator[object]:
    if isinstance(short, str):
        yield msgspec.to_builtins(_of_spec(short))
        return
    if not isinstance(short, dict):
        yield short
        return
    full = dict(short)
    if isinstance(full.get("interventions"), str):
        full["interventions"] = [full["interventions"]]
    if "budgets" in full:
        yield from _of_budgets(msgspec.convert(full, Budgets))
        return
    edits = full.get("interventions")
    specs = [*(edits if isinstance(edits, list) else []), full.get("attack")]
    named = [spec for spec in specs if isinstance(spec, str)]
    yield full if "name" in full or not named else {"name": condition_name(", ".join(named)), **full}


def _of_budgets(short: Budgets) -> Iterator[object]:
    if not short.budgets:
        raise UserError("budgets is empty; write one at least, such as [8/255]")
    for condition in at_budgets(short.attack, [str(budget) for budget in short.budgets], short.name):
        full = msgspec.structs.replace(condition, interventions=short.interventions, warm=short.warm)
        yield msgspec.to_builtins(full)


def _of_spec(text: str) -> Condition:
    """The condition that a spec alone means; "clean" is the one without anything."""
    if text == "clean":
        return Condition("clean")
    name = Spec.parse(text).name.replace("_", "-")
    if name in ATTACKS.entries():
        return next(iter(at_budgets(text, ())))
    if name in INTERVENTIONS.entries():
        return Condition(condition_name(text), (text,))
    if name.endswith(".py"):
        raise UserError(f"{text!r} may be an attack or an edit: write attack: {text}, or interventions: [{text}]")
    known = [*ATTACKS.entries(), *INTERVENTIONS.entries(), "clean"]
    close = difflib.get_close_matches(name[:100], known, n=2)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UserError(f"{shorten(text)!r} is no attack and no intervention{hint}")
