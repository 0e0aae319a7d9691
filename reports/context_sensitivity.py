"""Context sensitivity: what an intervention changes, what its placebo changes, and the difference of the two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import disagreeing_fills
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Quantity
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

_COLUMNS = ("model", "intervention", "metric", "after", "effect", "control's effect", "effect − control", "n", "excluded")


@report(paper="arXiv:1812.06707")
def context_sensitivity() -> Report:
    """Every intervention beside its placebo, in every metric of the task, paired by sample."""
    return lambda results: [_table(results, t) for t in reporting.tasks_of(results) if results.conditions(t, "intervention")]


def _table(results: Results, task: Task) -> Table:
    notes = Footnotes()
    rows = [
        row
        for group in reporting.groups_of(results, task)
        for condition in results.conditions(task, "intervention")
        for row in _rows(results, group, condition, notes)
    ]
    caption = (
        f"{reporting.TASK_TITLES[task]}: context sensitivity. Effect: after minus before, on the same samples, scored on what the edit "
        "left alone. Control: the same edit where no object is. Effect − control is what the context itself is worth; 95 % intervals."
    )
    every = (*notes.notes, *reporting.alone_note(results, task), *reporting.exclusions(results, task, results.metrics(task)[0]))
    return Table(cells_of(_COLUMNS, rows), caption, f"context-{task}", every, task, blocks="model", title="Context sensitivity")


def _rows(results: Results, group: Group, condition: Condition, notes: Footnotes) -> Iterator[list[Cell]]:
    """The primary metric, and every other that means something here (a hallucination needs a removal), with its base rates."""
    first, *others = results.metrics(group.task)
    defined = [m for m in others if reporting.metric_cell(results, group, condition.name, m, Footnotes()).state != "undefined"]
    for metric in (first, *defined):
        yield _row(results, group, condition, metric, notes, first=metric == first)
        yield from _base_rates(results, group, condition, metric, notes)


def _row(results: Results, group: Group, condition: Condition, metric: str, notes: Footnotes, *, first: bool) -> list[Cell]:
    """One row over one set of samples: those of the effect, where there is one."""
    effect, control, difference = reporting.shown_effect(results, group, condition.name, metric, notes)
    if difference is not None and difference.state == "shown" and (said := disagreeing_fills(results, group, condition.name, metric)):
        difference = replace(difference, marks=difference.marks + notes.warning(said))
    after = reporting.metric_cell(results, group, condition.name, metric, notes, paired=effect.state == "shown")
    blocked = after.state == "blocked"
    return [
        reporting.title_of(group),
        condition.name if first else "",
        reporting.quantity_of(results, group.task, metric),
        after,
        effect,
        control or "no control",
        difference or "no control",
        None if blocked else after.estimate.n,
        None if blocked else after.estimate.excluded,
    ]


def _base_rates(results: Results, group: Group, condition: Condition, metric: str, notes: Footnotes) -> Iterator[list[Cell]]:
    """Beside a rate of removed classes that are still reported: the same question asked where the class never was, and of the placebo."""
    rates = results.base_rates(group, condition.name, metric)
    if rates is None:
        return
    names = [condition.name, *results.controls(group.task, condition.name)]
    unit = reporting.unit_of(results, group.task, metric)
    for name, rate in (("of images that never held it", rates.never_held), ("of the placebo", rates.placebo)):
        number = reporting.estimate_cell(results, group, names, unit, rate, notes)
        yield [reporting.title_of(group), "", Quantity(f"{metric} {name}", unit), number, *[None] * 3, rate.n, rate.excluded]
