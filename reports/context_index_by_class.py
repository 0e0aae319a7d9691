"""The context index by class: whose objects a model recognises by where they stand."""

from __future__ import annotations

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.metrics.context_index import ContextReliance
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import EditPair, edit_pairs
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

FEWEST = 5
"""Served objects from which on a class gets a row (project choice): from one to four, an interval is nearly all of its range."""

_COLUMNS = ("model", "class", "context index", "context sensitivity", "object reliance", "n", "excluded")


@report(paper="arXiv:1812.06707")
def context_index_by_class() -> Report:
    """Context index, context sensitivity and object reliance of every class with at least five objects."""
    return lambda results: [table for task in reporting.tasks_of(results) for table in _tables(results, task)]


def _tables(results: Results, task: Task) -> list[Table]:
    pairs = edit_pairs(results, task)
    if not pairs:
        return []
    notes, pair = Footnotes(), pairs[0]
    rows: list[list[Cell]] = []
    few: dict[str, int] = {}
    for group in reporting.groups_of(results, task):
        for name in results.model_row(group).classes:
            made = context_results.reliance(results, group, pair.removal, pair.swap, name)
            if made.object_reliance.n >= FEWEST:
                rows.append(_row(results, group, pair, name, made, notes))
            elif made.object_reliance.n:
                few[name] = max(made.object_reliance.n, few.get(name, 0))
    if not rows:
        return []
    caption = (
        f"{reporting.TASK_TITLES[task]}: the context index and what it is made of, by the class of the objects; {pair.name} fill, 95 % "
        f"intervals. Classes of which fewer than {FEWEST} objects are served are left out."
    )
    left_out = (f"Left out: {', '.join(f'{name} (n = {n})' for name, n in few.items())}.",) if few else ()
    return [
        Table(
            cells_of(_COLUMNS, rows),
            caption,
            f"context-index-by-class-{task}",
            (*notes.notes, *left_out),
            task,
            blocks="model",
            title="Context index by class",
        )
    ]


def _row(results: Results, group: Group, pair: EditPair, name: str, made: ContextReliance, notes: Footnotes) -> list[Cell]:
    names = reporting.with_controls(results, group.task, [pair.removal, pair.swap])
    cells = [
        reporting.estimate_cell(results, group, names, "rate", one, notes)
        for one in (made.context_index, made.context_sensitivity, made.object_reliance)
    ]
    shown: list[Cell] = [
        Number(cell.estimate, cell.unit, signed=k > 0, blocked=cell.blocked, marks=cell.marks) for k, cell in enumerate(cells)
    ]
    return [reporting.title_of(group), name, *shown, made.object_reliance.n, made.object_reliance.excluded]
