"""Which conditions of a run take an object from its context, or a context from its object, by what their edits declare."""

from __future__ import annotations

from typing import NamedTuple

from robustbench_cv.interventions.context_facts import ContextFacts, Experiment
from robustbench_cv.metrics.object_recall import NAME as OBJECT_RECALL
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task


class EditPair(NamedTuple):
    """A removal of the objects and a swap of their context, from which a context index is made. name: of both, for people."""

    name: str
    removal: str
    swap: str
    exact: bool


def facts_of(results: Results, task: Task, condition: Condition) -> ContextFacts | None:
    return results.facts(task, condition.name).context


def removals(results: Results, task: Task) -> list[tuple[Condition, ContextFacts]]:
    """The conditions that remove the same objects as the suite's first removal, by every fill that it has, each with a placebo."""
    found = [
        (c, f)
        for c in results.conditions(task, "intervention")
        if (f := facts_of(results, task, c)) is not None
        and f.experiment == "remove-object"
        and (f.natural or f.exact)
        and results.controls(task, c.name)
    ]
    return [(c, f) for c, f in found if f.choice == found[0][1].choice]


def swaps(results: Results, task: Task) -> list[tuple[Condition, ContextFacts]]:
    """The conditions that show objects in another context that looks natural, each with a placebo."""
    return [
        (c, f)
        for c in results.conditions(task, "intervention")
        if (f := facts_of(results, task, c)) is not None
        and f.experiment == "swap-context"
        and (f.natural or f.exact)
        and results.controls(task, c.name)
    ]


class Curve(NamedTuple):
    """The conditions of one experiment at several levels, rising: (level, condition)."""

    method: str
    steps: list[tuple[float, Condition]]


def curves_of(results: Results, task: Task, experiment: Experiment) -> list[Curve]:
    """Of every method and choice of objects that the experiment was made with at two levels or more."""
    found: dict[tuple[str, str], dict[float, Condition]] = {}
    for c in results.conditions(task, "intervention"):
        f = facts_of(results, task, c)
        if f is not None and f.experiment == experiment and f.level is not None:
            found.setdefault((f.method, f.choice.what), {}).setdefault(f.level, c)
    return [Curve(method, sorted(steps.items())) for (method, _), steps in found.items() if len(steps) > 1]


class LevelGrid(NamedTuple):
    """The conditions of one occluder by published levels (foreground, background)."""

    method: str
    cells: dict[tuple[int, int], Condition]

    @property
    def single_axis(self) -> list[tuple[int, Condition]]:
        """Those in which object and context are occluded to the same level, rising."""
        return sorted(((f, c) for (f, b), c in self.cells.items() if f == b), key=lambda step: step[0])


def level_grids(results: Results, task: Task) -> list[LevelGrid]:
    """Of every occluder and choice of objects, the occlusions by levels."""
    found: dict[tuple[str, str], dict[tuple[int, int], Condition]] = {}
    for c in results.conditions(task, "intervention"):
        f = facts_of(results, task, c)
        if f is not None and f.occlusion is not None:
            found.setdefault((f.method, f.choice.what), {}).setdefault((f.occlusion.foreground, f.occlusion.background), c)
    return [LevelGrid(method, cells) for (method, _), cells in found.items()]


def edit_pairs(results: Results, task: Task) -> list[EditPair]:
    """The pairs that a context index can be made of, the headline's first: each fill with the first swap, then exact with exact.

    Empty where the suite has no removal or no swap, or does not measure the recall of objects.
    """
    if OBJECT_RECALL not in results.metrics(task):
        return []
    taken, moved = removals(results, task), swaps(results, task)
    pairs = []
    for exact in (False, True):
        swap = next((c for c, f in moved if f.exact == exact), None)
        if swap is None:
            continue
        for condition, facts in taken:
            if facts.exact == exact:
                pairs.append(EditPair("exact" if exact else facts.method, condition.name, swap.name, exact))
    return pairs


def disagreeing_fills(results: Results, group: Group, condition: str, metric: str) -> str:
    """Where the fills of a removal do not agree on the sign of its effect, less the placebo's: what each says. Empty where they agree,
    for exact removals, and for what is no removal.
    """
    taken = removals(results, group.task)
    if condition not in [c.name for c, f in taken if not f.exact]:
        return ""
    values: dict[str, float] = {}
    for other, facts in taken:
        if facts.exact or results.stop_reason(group, other.name):
            continue
        difference = results.effect(group, other.name, metric).difference
        if difference is not None and difference.value is not None:
            values[facts.method] = difference.value
    if len({value > 0 for value in values.values() if value}) < 2:
        return ""
    said = ", ".join(f"{name} {100 * value:+.1f}".replace("-", "−") for name, value in values.items())
    return f"the fills do not agree on the sign of this effect ({metric}: {said}): it may be the filling's, not the removal's."
