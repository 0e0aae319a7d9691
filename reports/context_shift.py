"""What edits do to a detector's misses, false boxes and number of boxes: ContextShift's three counters."""

from __future__ import annotations

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.errors import NotApplicable
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition

_COLUMNS = ("model", "intervention", "misses", "false boxes", "boxes", "n", "excluded")


@report(paper="arXiv:2606.09495")
def context_shift() -> Report:
    """Relative changes of a detector's misses, of boxes that match no object, and of all boxes, at its operating score."""
    return lambda results: [table] if (table := _table(results)) is not None else []


def _table(results: Results) -> Table | None:
    if "detection" not in reporting.tasks_of(results):
        return None
    notes = Footnotes()
    rows = [
        row
        for group in reporting.groups_of(results, "detection")
        for condition in results.conditions("detection", "intervention")
        if not condition.curve and not reporting.is_removal(results, "detection", condition)
        for row in _row(results, group, condition, notes)
    ]
    if not rows:
        return None
    caption = (
        "Object detection: relative change of the missed objects, of the boxes that match no object, and of all boxes, after the edit over "
        "before it, on the same images at the operating score, IoU 0.5; 95 % intervals. AP shows none of them."
    )
    return Table(
        cells_of(_COLUMNS, rows), caption, "context-shift", notes.notes, "detection", blocks="model", title="Misses and false boxes"
    )


def _row(results: Results, group: Group, condition: Condition, notes: Footnotes) -> list[list[Cell]]:
    try:
        made = context_results.error_counts(results, group, condition.name)
    except NotApplicable:
        return []
    cells = [reporting.estimate_cell(results, group, [condition.name], "rate", one, notes) for one in made]
    shown: list[Cell] = [reporting.signed(c) for c in cells]
    return [[reporting.title_of(group), condition.name, *shown, made.boxes.n, made.boxes.excluded]]
