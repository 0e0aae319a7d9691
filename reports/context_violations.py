"""V_min and V_mean: how often losing another class hurts an object's score more than losing the object."""

from __future__ import annotations

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.metrics.label_probability import NAME
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import facts_of, removals
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

_COLUMNS = ("model", "V_min", "V_mean", "V_min by class", "V_mean by class", "context reliance", "n", "excluded")

_NOTE = (
    "The names and the comparison are those of Shetty, Schiele, Fritz, CVPR 2019 (arXiv:1812.06707); the paper's exact formulas could not "
    "be read, and these are project choices (see docs/context.md). No placebo stands against them: both sides of the comparison are fills."
)


@report(paper="arXiv:1812.06707")
def context_violations() -> Report:
    """Of classifiers: shares of the images in which removing some other class costs more of the score than removing the object."""
    return lambda results: [table for task in reporting.tasks_of(results) for table in _tables(results, task)]


def _tables(results: Results, task: Task) -> list[Table]:
    taken = [c.name for c, f in removals(results, task) if not f.exact]
    others = [
        c.name
        for c in results.conditions(task, "intervention")
        if (f := facts_of(results, task, c)) is not None and f.experiment == "remove-object" and f.choice.scope == "other-class"
    ]
    if NAME not in results.metrics(task) or not taken or not others:
        return []
    notes = Footnotes()
    rows = [_row(results, group, taken[0], others, notes) for group in reporting.groups_of(results, task)]
    caption = (
        f"{reporting.TASK_TITLES[task]}: share of the images in which the most harmful removal of another class (V_min), and the mean over "
        "those removals (V_mean), leaves less of the object's score than removing the object does; 95 % intervals. By class: means over "
        "the classes with 20 images or more. Context reliance: median share of the object's own effect that the worst other class has."
    )
    return [Table(cells_of(_COLUMNS, rows), caption, f"context-violations-{task}", (*notes.notes, _NOTE), task, title="Violations")]


def _row(results: Results, group: Group, removal: str, others: list[str], notes: Footnotes) -> list[Cell]:
    made = context_results.class_violations(results, group, removal, others)
    names = [removal, *others]
    shown: list[Number] = [reporting.estimate_cell(results, group, names, "rate", one, notes) for one in (made.v_min, made.v_mean)]
    blocked = shown[0].state == "blocked"
    by_class: list[Cell] = [_percent(value, blocked=blocked) for value in (made.v_min_macro, made.v_mean_macro)]
    reliance = None if made.reliance is None or blocked else f"{made.reliance:.2f}"
    counts: list[Cell] = [None, None] if blocked else [made.v_min.n, made.v_min.excluded]
    return [reporting.title_of(group), *shown, *by_class, reliance, *counts]


def _percent(value: float | None, *, blocked: bool) -> str | None:
    return None if value is None or blocked else f"{100 * value:.1f} %"
