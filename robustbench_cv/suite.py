"""What a benchmark is: tracks (a task's models, data, conditions and metrics), gates and reports, as plain data that YAML can hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from robustbench_cv.errors import UserError
from robustbench_cv.tasks import Task

Kind = Literal["clean", "attack", "intervention", "control"]


class _Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record that JSON and YAML can hold; an unknown field is an error."""


class Condition(_Plain, frozen=True):
    """What happens to a sample before the model sees it; "clean" has neither interventions nor an attack.

    interventions: specs, applied in order. attack: a spec, run on the model after the interventions.
    severity: the x value of this condition on the curve that shares its `curve` name (a budget in [0, 1] pixel units, an occluded share).
    control_of: the condition of which this one is the placebo; `with_controls` adds these from the interventions' own `control` specs.
    warm: samples that the same attack broke within a smaller budget, in a warm condition before this one, count as broken and are not
    searched again (see runner/warm_start.py); for attacks on classifiers within a ball.
    """

    name: str
    interventions: tuple[str, ...] = ()
    attack: str | None = None
    severity: float | None = None
    curve: str | None = None
    control_of: str | None = None
    warm: bool = False

    @property
    def kind(self) -> Kind:
        if self.control_of is not None:
            return "control"
        if self.attack is not None:
            return "attack"
        return "intervention" if self.interventions else "clean"


CLEAN = Condition("clean")


def budgets(name: str, spec: str, levels: Sequence[float], *, warm: bool = False) -> tuple[Condition, ...]:
    """One attack at several budgets, on one curve that bears its name.

    levels: in grey levels of 255. `{eps}` in spec stands for the budget.

    >>> [c.attack for c in budgets("pgd", "pgd(eps={eps}, steps=10)", (0.5, 2))]
    ['pgd(eps=0.5/255, steps=10)', 'pgd(eps=2/255, steps=10)']
    """
    return tuple(
        Condition(f"{name} {level:g}/255", attack=spec.format(eps=f"{level:g}/255"), severity=level / 255, curve=name, warm=warm)
        for level in levels
    )


class Track(_Plain, frozen=True):
    """One task's share of a suite. models, datasets, metrics: specs. metrics[0] is the primary one, which tables lead with."""

    task: Task
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    conditions: tuple[Condition, ...]
    metrics: tuple[str, ...]
    samples: int | None = None


class Gate(_Plain, frozen=True):
    """A bound that a number must reach. Passed when its whole interval does, failed when none of it does, inconclusive between."""

    metric: str
    condition: str
    at_least: float
    model: str = "*"


class Suite(_Plain, frozen=True):
    """A benchmark by name. `version` rises when any number that it produces may change.

    strength: of how many unbroken samples other attacks are tried, to tell whether an attack looks strong; 0: none.
    """

    name: str
    version: int
    tracks: tuple[Track, ...]
    seed: int = 0
    gates: tuple[Gate, ...] = ()
    reports: tuple[str, ...] = ("main-table", "checks", "protocol")
    strength: int = 8


def validate(suite: Suite) -> Suite:
    """The suite itself; UserError where names repeat, or a gate or a control names no condition or metric."""
    for track in suite.tracks:
        names = [c.name for c in track.conditions]
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise UserError(f"suite {suite.name!r}: two {track.task} conditions are called {repeated[0]!r}; names must differ")
        orphans = [c for c in track.conditions if c.control_of is not None and c.control_of not in names]
        if orphans:
            raise UserError(f"suite {suite.name!r}: {orphans[0].name!r} is the control of {orphans[0].control_of!r}, which is not there")
        if not track.metrics:
            raise UserError(f"suite {suite.name!r}: the {track.task} track names no metric")
    for gate in suite.gates:
        if not any(gate.metric in t.metrics and gate.condition in {c.name for c in t.conditions} for t in suite.tracks):
            raise UserError(f"suite {suite.name!r}: a gate names {gate.metric!r} under {gate.condition!r}, which no track measures")
    return suite


def check_gates(suite: Suite, models: Sequence[str], replaced: Sequence[str] = ()) -> None:
    """UserError where a gate names a model that is not in the run: it would never be judged.

    models: names of those in the run. replaced: specs of the suite's own, where others took their place: gates for these wait for them.
    """
    known = {"*", *models, *replaced, *(spec.partition("(")[0] for spec in replaced)}
    for gate in suite.gates:
        if gate.model not in known:
            names = ", ".join(map(repr, dict.fromkeys(models)))
            raise UserError(
                f"suite {suite.name!r}: the gate on {gate.metric!r} under {gate.condition!r} is for model {gate.model!r}, which is not in "
                f"this run ({names}); write one of these, or '*' for every model"
            )


def read_suite(path: Path) -> Suite:
    """A suite from a YAML file. UserError naming the field that is wrong; severities may be written as fractions ("8/255")."""
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the suite {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    try:
        return validate(msgspec.convert(_numbers(raw), Suite))
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {error}") from error


def _numbers(value: Any) -> Any:
    """Fractions in `severity` fields, which YAML reads as text, as numbers."""
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {key: _numbers(v) for key, v in value.items()}
    fraction = re.fullmatch(r"\s*([\d.]+)\s*/\s*([\d.]+)\s*", str(out.get("severity", "")))
    if fraction:
        out["severity"] = float(fraction[1]) / float(fraction[2])
    return out
