"""What a benchmark is: tracks (a task's models, data, conditions and metrics), gates and reports, as plain data that YAML can hold."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from robustbench_cv.arguments import LARGEST_COUNT, LARGEST_SEED, shorten
from robustbench_cv.errors import UserError
from robustbench_cv.tasks import Task

Kind = Literal["clean", "attack", "intervention", "control"]

LONGEST_NAME = 100
"""Characters of a suite's or condition's name: they are parts of file names, which end at 255 bytes."""


class _Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record that JSON and YAML can hold; an unknown field is an error."""


class Condition(_Plain, frozen=True):
    """What happens to a sample before the model sees it; "clean" has neither interventions nor an attack.

    interventions: specs, applied in order. attack: a spec, run on the model after the interventions.
    severity: the x value of this condition on the curve that shares its `curve` name (a budget in [0, 1] pixel units, an occluded share).
    control_of: the condition of which this one is the placebo; `with_controls` adds these from the interventions' own `control` specs.
    warm: samples that the same attack broke within a smaller budget, in a warm condition before this one, count as broken and are not
    searched again (see runner/warm_start.py); for attacks on classifiers within a ball.
    judged: of an attack that is fitted beforehand: under its random conditions, "plain" (straight on, in even light), or "shuffled" (the
    same values without their order, its control).
    """

    name: str
    interventions: tuple[str, ...] = ()
    attack: str | None = None
    severity: float | None = None
    curve: str | None = None
    control_of: str | None = None
    warm: bool = False
    judged: Literal["sampled", "plain", "shuffled"] = "sampled"

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
    """One task's share of a suite. models, datasets, metrics: specs. metrics[0] is the primary one, which tables lead with.

    explanations: methods of `robustbench-cv explain`, by which each model's answers are explained on some of the unedited samples.
    """

    task: Task
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    conditions: tuple[Condition, ...]
    metrics: tuple[str, ...]
    samples: int | None = None
    explanations: tuple[str, ...] = ()


class Gate(_Plain, frozen=True):
    """A bound that a number must keep. Passed when its whole interval does, failed when none of it does, inconclusive between.

    at_least is for metrics where higher is better, at_most for those where lower is; a gate has one of them.
    """

    metric: str
    condition: str
    at_least: float | None = None
    model: str = "*"
    at_most: float | None = None

    @property
    def bound(self) -> float:
        """NaN where the gate has none."""
        return next((value for value in (self.at_least, self.at_most) if value is not None), math.nan)

    @property
    def word(self) -> Literal["at_least", "at_most"]:
        return "at_most" if self.at_most is not None else "at_least"

    @property
    def sign(self) -> str:
        return "≤" if self.at_most is not None else "≥"


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


FieldPath: TypeAlias = tuple[str | int, ...]
"""Keys and positions from a suite's top."""


class Fault(NamedTuple):
    """What is wrong with a suite, and where."""

    path: FieldPath
    text: str


def validate(suite: Suite, *, models: Sequence[object] | None = None, data: Sequence[object] | None = None) -> Suite:
    """The suite itself; UserError naming the field that is wrong.

    models, data: what a run puts in the place of the suite's own; None while that is not known, when a track may have none of its own.
    """
    fault = next(faults(suite, models=models, data=data), None)
    if fault is not None:
        raise UserError(f"suite {shorten(suite.name)!r}: {spoken_path(fault.path)}: {fault.text}")
    return suite


def faults(
    suite: Suite, *, models: Sequence[object] | None = None, data: Sequence[object] | None = None, misspelt: Collection[str] = ()
) -> Iterator[Fault]:
    """Everything that is wrong with a suite by itself: names, ranges, and references from one part to another.

    misspelt: metrics and conditions that are known to be wrong themselves; a gate that is close to one of them is taken for right.
    """
    yield from (Fault(("name",), text) for text in _name_faults(suite.name, folder=True))
    yield from _out_of_range(suite.version, ("version",), 1, LARGEST_COUNT)
    yield from _out_of_range(suite.seed, ("seed",), 0, LARGEST_SEED)
    yield from _out_of_range(suite.strength, ("strength",), 0, LARGEST_COUNT)
    if not suite.tracks:
        yield Fault(("tracks",), "a suite needs a track: a task with its models, datasets, conditions and metrics")
    yield from _repeated_values(
        [track.task for track in suite.tracks], ("tracks",), "two tracks are for {}; put their models and conditions in one"
    )
    yield from _repeated_values(suite.reports, ("reports",), "{} comes twice; leave one out")
    for i, track in enumerate(suite.tracks):
        yield from _track_faults(track, ("tracks", i), models, data)
    for i, gate in enumerate(suite.gates):
        if (gate.at_least is None) == (gate.at_most is None):
            yield Fault(("gates", i), "a gate has one bound: at_least where higher is better, or at_most where lower is")
        elif not math.isfinite(gate.bound):
            yield Fault(("gates", i, gate.word), f"{gate.bound} is no bound; write a number such as 0.75")
        yield from (Fault(("gates", i), text) for text in _unmeasured(gate, suite, misspelt))


def _unmeasured(gate: Gate, suite: Suite, misspelt: Collection[str]) -> Iterator[str]:
    """What is wrong with the metric and the condition that a gate names, with the closest that there are."""
    if any(gate.metric in t.metrics and gate.condition in {c.name for c in t.conditions} for t in suite.tracks):
        return
    named = (gate.metric, gate.condition)
    known = ({m for t in suite.tracks for m in t.metrics}, {c.name for t in suite.tracks for c in t.conditions})
    meant = tuple(next(iter(difflib.get_close_matches(n[:100], those, n=1)), n) for n, those in zip(named, known, strict=True))
    strange = [n for n, m, those in zip(named, meant, known, strict=True) if those and n not in those and m not in misspelt]
    if strange or meant == named:
        hint = f"; did you mean {meant[0]!r} under {meant[1]!r}?" if meant != named else ""
        yield f"the gate names {gate.metric!r} under {gate.condition!r}, which no track measures{hint}"


def check_gates(suite: Suite, models: Sequence[str], metrics: Mapping[str, object]) -> None:
    """UserError for a gate that could never fail, or never pass, in a run: of a model that is not in it, or a bound that no value reaches;
    and for one that keeps a number from getting better.

    models: names of the run's models. metrics: of the run, by name; their `range` (low, high) says what they can reach; a rate (`is_rate`)
    reaches 0 to 1; `higher_is_better` says which bound they take.
    """
    for gate in suite.gates:
        where = f"suite {suite.name!r}: the gate on {gate.metric!r} under {gate.condition!r}"
        if gate.model != "*" and gate.model not in models:
            close = difflib.get_close_matches(gate.model, models, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UserError(f"{where} is for {gate.model!r}, which is not in this run: it has {', '.join(map(repr, models))}{hint}")
        metric = metrics.get(gate.metric)
        right = "at_least" if getattr(metric, "higher_is_better", gate.word == "at_least") else "at_most"
        if gate.word != right:
            better = "higher" if right == "at_least" else "lower"
            raise UserError(f"{where} says {gate.word}, but of {gate.metric} {better} is better: write {right}: {gate.bound:g}")
        low, high = getattr(metric, "range", None) or ((0.0, 1.0) if getattr(metric, "is_rate", False) else (-math.inf, math.inf))
        if not low <= gate.bound <= high:
            percent = f"; for {gate.bound:g} % write {gate.bound / 100:g}" if (low, high) == (0, 1) and 1 < gate.bound <= 100 else ""
            raise UserError(f"{where} has the bound {gate.bound:g}, but {gate.metric} goes from {low:g} to {high:g}{percent}")


def spoken_path(path: Sequence[str | int]) -> str:
    """A field as people find it.

    >>> spoken_path(("tracks", 0, "samples"))
    'tracks[0].samples'
    """
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def _track_faults(track: Track, at: FieldPath, models: Sequence[object] | None, data: Sequence[object] | None) -> Iterator[Fault]:
    for field, given, own in (("models", models, track.models), ("datasets", data, track.datasets)):
        if not own and given is not None and not given:
            flag = "--model" if field == "models" else "--data"
            yield Fault((*at, field), f"the {track.task} track has none; name some there, or with {flag}")
        yield from _repeated_values(own, (*at, field), "{} comes twice; leave one out")
    yield from _repeated_values(track.metrics, (*at, "metrics"), "{} comes twice; leave one out")
    yield from _repeated_values(track.explanations, (*at, "explanations"), "{} comes twice; leave one out")
    yield from _repeated_values(
        [c.name for c in track.conditions], (*at, "conditions"), f"two {track.task} conditions are called {{}}; names must differ"
    )
    for field in ("conditions", "metrics"):
        if not getattr(track, field):
            yield Fault((*at, field), f"the {track.task} track names no {field.removesuffix('s')}; it needs one at least")
    if track.samples is not None:
        yield from _out_of_range(track.samples, (*at, "samples"), 1, LARGEST_COUNT)
    for i, condition in enumerate(track.conditions):
        yield from _condition_faults(condition, (*at, "conditions", i), {c.name: c for c in track.conditions})


def _condition_faults(condition: Condition, at: FieldPath, others: Mapping[str, Condition]) -> Iterator[Fault]:
    yield from (Fault((*at, "name"), text) for text in _name_faults(condition.name))
    if condition.severity is not None and not math.isfinite(condition.severity):
        yield Fault((*at, "severity"), f"{condition.severity} is no place on a curve; write a number such as 0.5 or 8/255")
    if condition.control_of is None:
        return
    real = others.get(condition.control_of)
    if condition.control_of == condition.name:
        yield Fault((*at, "control_of"), f"{condition.name!r} is the control of itself; name the condition of which it is the placebo")
    elif real is None:
        yield Fault((*at, "control_of"), f"{condition.name!r} is the control of {condition.control_of!r}, which is not there")
    elif real.control_of is not None:
        yield Fault((*at, "control_of"), f"{condition.name!r} is the control of {condition.control_of!r}, which is a control itself")


def _name_faults(name: str, *, folder: bool = False) -> Iterator[str]:
    """folder: the name is also that of a run's folder."""
    if not name.strip():
        yield "a name must not be empty"
    elif not name.isprintable() or len(name) > LONGEST_NAME:
        yield f"{shorten(name)!r} is no name: it takes up to {LONGEST_NAME} characters that can be printed"
    elif folder and (name.strip(".") == "" or set(name) & set("/\\")):
        yield f"{name!r} is also the name of the run's folder: leave out slashes, and do not write dots alone"


def _out_of_range(value: int, path: FieldPath, low: int, high: int) -> Iterator[Fault]:
    if not low <= value <= high:
        yield Fault(path, f"{shorten(str(value))} is out of range; write a whole number from {low} to {high:,}")


def _repeated_values(values: Sequence[str], path: FieldPath, text: str) -> Iterator[Fault]:
    """A fault at each value that stood before."""
    for i, value in enumerate(values):
        if value in values[:i]:
            yield Fault((*path, i), text.format(repr(value)))
