"""A suite from attacks and edits that were typed on a command line, so that a table takes one command and no file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from robustbench_cv.arguments import pixel_slip, shorten
from robustbench_cv.catalogue import ATTACKS, INTERVENTIONS
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Registry
from robustbench_cv.registry_scan import read_arguments
from robustbench_cv.specs import Scalar, Spec
from robustbench_cv.suite import CLEAN, LONGEST_NAME, Condition, Suite, Track
from robustbench_cv.tasks import TASKS, Task
from robustbench_cv.terminal import elide

MOST_NAMED = 3
"""Attacks and edits that the name of a suite holds, and so its folder (project choice)."""

SAMPLES = 200
"""Where no --limit is given (project choice: half-widths of 7 points at most for a rate)."""


class _Usual(NamedTuple):
    """What a task is run with where nothing else is named."""

    model: str
    metrics: tuple[str, ...]


_USUAL: dict[Task, _Usual] = {
    "classification": _Usual("cifar-resnet20.scenes", ("top-1",)),
    "segmentation": _Usual("unet.scenes", ("miou", "pixel-accuracy")),
    "detection": _Usual("yolov3-small.scenes", ("ap", "ap50")),
}


def suite_of(attacks: Sequence[str], edits: Sequence[str] = (), budgets: Sequence[str] = ()) -> Suite:
    """Clean images, each attack at each budget, and each edit beside its placebo; a track for every task that the attacks are for.

    budgets: as typed ("8/255"), for the attacks that name no eps themselves. Edits, and attacks for any task, go into every track that
    another attack asks for, or into all three. UserError for a name that is not there, and for a budget that an attack does not take.

    >>> [c.name for c in suite_of(["pgd"], ["remove()"], ["1/255", "8/255"]).tracks[0].conditions]
    ['clean', 'pgd 1/255', 'pgd 8/255', 'remove()']
    >>> suite_of(["pgd"], ["remove()"]).name
    'pgd-remove'
    """
    read = [Spec.parse(text) for text in attacks]
    for spec in read:
        _require_kind(spec, ATTACKS, INTERVENTIONS, "--condition")
    asked = [None if spec.name.endswith(".py") else ATTACKS.entry(spec.name).facts.get("task", "any") for spec in read]
    tasks: list[Task] = [task for task in TASKS if task in asked] or list(TASKS)
    for text in edits:
        _require_kind(Spec.parse(text), INTERVENTIONS, ATTACKS, "--attack")
        INTERVENTIONS.check(text)
    tracks: list[Track] = []
    for task in tasks:
        of_task = [text for text, of in zip(attacks, asked, strict=True) if of in (task, "any", None)]
        attacked = [condition for text in of_task for condition in at_budgets(text, budgets)]
        conditions = (CLEAN, *attacked, *(Condition(condition_name(text), (text,)) for text in edits))
        usual = _USUAL[task]
        tracks.append(Track(task, (usual.model,), ("scenes",), conditions, usual.metrics, SAMPLES))
    curve = ("budget-curve",) if any(c.curve for track in tracks for c in track.conditions) else ()
    return Suite(
        _name([Spec.parse(text) for text in (*attacks, *edits)]),
        1,
        tuple(tracks),
        reports=("overview", "main-table", *curve, "gallery", "checks", "protocol"),
    )


def _name(specs: Sequence[Spec]) -> str:
    """After what is in it, by which its folder is found again: "pgd", "pgd-remove", "pgd-remove-fog-and-2-more"."""
    names = list(dict.fromkeys(re.sub(r"[^a-z0-9]+", "-", (spec.target or Path(spec.name).stem).lower()).strip("-") for spec in specs))
    more = len(names) - MOST_NAMED
    return "-".join(names[:MOST_NAMED] + ([f"and-{more}-more"] if more > 0 else []))


def _require_kind(spec: Spec, registry: Registry[Any], other: Registry[Any], option: str) -> None:
    """UserError for what is of the other kind."""
    name = spec.name.replace("_", "-")
    if name in other.entries() and name not in registry.entries():
        raise UserError(f"{spec.name!r} is no {registry.kind} but an {other.kind}: write {option} {shlex.quote(str(spec))}")


def at_budgets(text: str, budgets: Sequence[str], curve: str = "") -> Iterator[Condition]:
    """An attack at each budget, or as it is where none is given or it names its own eps. curve: in place of the attack's own name."""
    spec = Spec.parse(text)
    inside = re.search(r"\beps\s*=\s*([^,()]+)", text)
    if isinstance(spec.args.get("eps"), int | float) and inside:
        yield _condition(spec, inside[1].strip(), spec.args["eps"], curve)
        return
    if not budgets:
        ATTACKS.check(text)
        yield Condition(condition_name(text), attack=text)
        return
    if not spec.name.endswith(".py") and not {"eps", "**"} & read_arguments(ATTACKS.entry(spec.name)).keys():
        raise UserError(
            f"attack {spec.name!r} takes no eps, so --eps is not for it: leave --eps out, and write budgets where they belong, "
            f'as in --attack "pgd(eps=8/255)" --attack "{text}"'
        )
    for budget in budgets:
        yield _condition(spec, budget, _number(budget), curve)


def _condition(spec: Spec, written: str, eps: Scalar, curve: str) -> Condition:
    """spec at one budget: named by both, on the curve of what is the same at all of them."""
    without = Spec(spec.name, {key: value for key, value in spec.args.items() if key != "eps"}, spec.target)
    at_budget = str(Spec(spec.name, {"eps": eps, **without.args}, spec.target))
    ATTACKS.check(at_budget)
    assert isinstance(eps, int | float)
    if eps > 1 and _norm(spec) == "linf":
        raise UserError(pixel_slip("eps", eps))
    name = curve or str(without)
    return Condition(condition_name(f"{name} {written}"), attack=at_budget, severity=float(eps), curve=condition_name(name))


def _norm(spec: Spec) -> Scalar:
    """The norm of an attack that takes one as an argument."""
    known = {} if spec.name.endswith(".py") else read_arguments(ATTACKS.entry(spec.name))
    default = known["norm"].default if "norm" in known else None
    norm = spec.args.get("norm", default if isinstance(default, str) else None)
    return norm.lower() if isinstance(norm, str) else norm


def _number(written: str) -> float:
    try:
        value = Spec.parse(f"eps(value={written})").args["value"]
    except UserError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"--eps {shorten(written)!r} is no budget; write a number in [0, 1] pixel units, such as 8/255 or 0.5")
    return value


def condition_name(text: str) -> str:
    """What a condition that a spec describes is called: the spec, elided where it is too long for the name of a file."""
    return elide(text, LONGEST_NAME)
