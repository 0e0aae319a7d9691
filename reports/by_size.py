"""Whether small objects are lost first: AP of small, medium and large objects under each condition (COCO's sizes)."""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Results

SIZES = ("ap-small", "ap-medium", "ap-large")

_KEY = "coco"


@report()
def by_size() -> Report:
    """Average precision of small (up to 32 x 32 pixels), medium and large (from 96 x 96) objects, under each condition."""
    return lambda results: [_table(results)] if _is_measured(results) else []


def _is_measured(results: Results) -> bool:
    return "detection" in reporting.tasks_of(results) and _KEY in {m.evidence_key for m in results.run.metrics("detection")}


def _table(results: Results) -> Table:
    notes, rows = Footnotes(), list[list[Cell]]()
    for group in reporting.groups_of(results, "detection"):
        for condition in reporting.ordered_conditions(results, "detection"):
            name = f"↳ {condition.name}" if condition.kind == "control" else condition.name
            numbers = [reporting.metric_cell(results, group, condition.name, size, notes) for size in SIZES]
            n = None if numbers[0].blocked else numbers[0].estimate.n
            rows.append([reporting.title_of(group), name, *numbers, n])
    caption = (
        "Object detection: COCO AP by the size of the objects, with 95 % intervals. Small: up to 32 x 32 pixels of area, medium: up to "
        "96 x 96, large: beyond; a size that no object has is undefined."
    )
    every = (*notes.notes, *reporting.scoring_note(results, "detection"))
    columns = ["model", "condition", "small", "medium", "large", "n"]
    return Table(cells_of(columns, rows), caption, "by-size", every, "detection", blocks="model", title="By size of the objects")
