"""The question that a context run asks, answered in sentences: what changes with the objects gone, beyond what the placebo changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from robustbench_cv import context_results
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import EditPair, edit_pairs, removals, swaps
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

Verdict = Literal["differs", "can't tell", "blocked"]

_SHOWN = 3
"""Classes that a sentence names."""


@dataclass(frozen=True)
class Answer:
    """What a run says of one model. text: a whole sentence. verdict: whether the effect can be told from the placebo's."""

    text: str
    verdict: Verdict


def lead(results: Results, task: Task) -> Condition | None:
    """The edit that a task's conditions ask about first: a removal with a placebo, or else a swap; None where the task is attacked too,
    since then it is not the question."""
    if results.conditions(task, "attack"):
        return None
    found = [*removals(results, task), *swaps(results, task)]
    return found[0][0] if found else None


def answers(results: Results) -> list[Answer]:
    """For each model, of the removal and of the swap that lead; then, where one class was removed, of what that does to the others."""
    return [answer for task in reporting.tasks_of(results) if lead(results, task) is not None for answer in _of_task(results, task)]


def _of_task(results: Results, task: Task) -> Iterator[Answer]:
    leading = [found[0] for found in (removals(results, task), swaps(results, task)) if found]
    pairs = edit_pairs(results, task)
    for group in reporting.groups_of(results, task):
        if pairs:
            yield from _of_index(results, group, next((pair for pair in pairs if pair.exact), pairs[0]), pairs[0])
        for condition, facts in leading:
            yield from _of_edit(results, group, condition)
            if task == "segmentation" and facts.choice.named is not None and facts.experiment == "remove-object":
                yield from _of_classes(results, group, condition, facts.choice.named)


def _of_index(results: Results, group: Group, best: EditPair, usual: EditPair) -> Iterator[Answer]:
    """By exact counterfactuals where there are some, else by the first fill."""
    for pair in dict.fromkeys((best, usual)):
        made = context_results.reliance(results, group, pair.removal, pair.swap)
        conditions = reporting.with_controls(results, group.task, [pair.removal, pair.swap])
        index = reporting.estimate_cell(results, group, conditions, "rate", made.context_index, Footnotes())
        who, how = reporting.title_of(group), "exact counterfactuals" if pair.exact else f"the {pair.name} fill"
        if index.blocked:
            yield Answer(f"{who}, context index: {index.value}.", "blocked")
            return
        if index.estimate.value is not None:
            text = f"{who}: its context index is {_of(index)} of 100 by {how} (n = {index.estimate.n}; {_SCALE})."
            yield Answer(text, "can't tell" if index.estimate.low is None else "differs")
            return


_SCALE = "0: it reads objects alone, 100: contexts alone"


def leading_metric(results: Results, group: Group, condition: str) -> str | None:
    """The first metric that means something of the edit and of its placebo; None where none does."""
    for name in results.metrics(group.task):
        difference = reporting.shown_effect(results, group, condition, name, Footnotes())[2]
        if difference is not None and difference.state != "undefined":
            return name
    return None


def _of_edit(results: Results, group: Group, condition: Condition) -> Iterator[Answer]:
    metric = leading_metric(results, group, condition.name)
    if metric is None:
        return
    effect, control, difference = reporting.shown_effect(results, group, condition.name, metric, Footnotes())
    row, who = results.metric_row(group.task, metric), reporting.title_of(group)
    if difference is None or control is None:
        return
    if difference.blocked:
        yield Answer(f"{who}, {condition.name}: {difference.value}.", "blocked")
        return
    unit = " points" if row.unit == "rate" else ""
    verdict = _verdict(difference)
    end = "the two differ" if verdict == "differs" else "the two cannot be told apart at this n"
    yield Answer(
        f"{who}, {condition.name}: {row.words} changes by {_of(effect)}{unit}, and by {_of(control)} under the placebo, the same edit "
        f"where no object is. What the edit does beyond its placebo is {_of(difference)}{unit} (n = {difference.estimate.n}): {end}.",
        verdict,
    )


def _of_classes(results: Results, group: Group, condition: Condition, removed: str) -> Iterator[Answer]:
    """Which other classes change beyond the placebo, the strongest first."""
    made: list[tuple[str, Number]] = []
    for name in results.model_row(group).classes:
        if name != removed:
            difference = reporting.shown_effect(results, group, condition.name, f"class-iou(of={name!r})", Footnotes())[2]
            if difference is not None and difference.state == "shown":
                made.append((name, difference))
    if not made:
        return
    told = sorted([pair for pair in made if _verdict(pair[1]) == "differs"], key=lambda pair: -abs(pair[1].estimate.value or 0.0))
    looked = f"of the {len(made)} other classes whose IoU could be compared"
    again = f"intervals of 95 % each, so that about {0.05 * len(made):.1f} of {len(made)} would stand out by chance"
    if not told:
        yield Answer(f"{group.model}: {looked}, none changes beyond the placebo with {removed} removed.", "can't tell")
        return
    named = "; ".join(f"{name} {_of(number)} points" for name, number in told[:_SHOWN])
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    yield Answer(
        f"{group.model}: {looked}, {len(told)} change{'s' if len(told) == 1 else ''} beyond the placebo with {removed} removed: "
        f"{named}{more} ({again}).",
        "differs",
    )


def _verdict(difference: Number) -> Verdict:
    low, high = difference.estimate.low, difference.estimate.high
    return "can't tell" if low is None or high is None or low <= 0 <= high else "differs"


def _of(number: Number) -> str:
    return " ".join(part for part in (number.value, number.interval) if part)
