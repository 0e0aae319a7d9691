"""Which objects a detector finds that others hide: recall over whole, occluded and separated objects (Zhan, Xie, Zisserman, BMVC 2022)."""

from __future__ import annotations

from typing import Literal

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.errors import NotApplicable
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import level_grids
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results

_COLUMNS = (
    *("model", "images", "found by", "whole", "occluded", "separated", "occluded − whole", "separated − whole"),
    *("whole objects", "occluded objects", "separated objects", "n", "excluded"),
)

_HOW = (
    "By masks: a detection of the class with a score of at least 0.3 and a mask IoU of at least 0.75, as in Occluded COCO and Separated "
    "COCO; by boxes: a box of the class at the operating score and IoU 0.5. Separated: what is visible is in two pieces or more; occluded: "
    "in one, with at least 5 % hidden. Where data know visible masks alone, an object is occluded when others fill 5 % of its convex hull; "
    "the published lists were made by amodal completion, so these numbers do not compare with the paper's."
)


@report(paper="arXiv:2210.10046")
def occlusion_recall() -> Report:
    """Recall of a detector over objects that are whole, partly hidden, and split by others, on clean images and at occlusion levels."""
    return lambda results: [table for table in [_table(results)] if table is not None]


def _table(results: Results) -> Table | None:
    if "detection" not in reporting.tasks_of(results) or not results.conditions("detection", "clean"):
        return None
    notes = Footnotes()
    steps = [c.name for grid in level_grids(results, "detection")[:1] for _, c in grid.single_axis]
    rows = [
        row
        for group in reporting.groups_of(results, "detection")
        for by in ("masks", "boxes")
        for name in (results.conditions("detection", "clean")[0].name, *steps)
        if (row := _row(results, group, name, by, notes)) is not None
    ]
    if not rows:
        return None
    caption = (
        "Object detection: the share of the objects that is found, by what others hide of them, in the clean images and in those whose "
        "objects were covered; and how much lower it is than that of whole objects. 95 % intervals."
    )
    label = "occlusion-recall-detection"
    return Table(
        cells_of(_COLUMNS, rows), caption, label, (*notes.notes, _HOW), "detection", blocks="model", title="Recall of hidden objects"
    )


def _row(results: Results, group: Group, condition: str, by: Literal["masks", "boxes"], notes: Footnotes) -> list[Cell] | None:
    try:
        made = context_results.occlusion_recall(results, group, condition, by)
    except NotApplicable:
        return None
    recalls = [reporting.estimate_cell(results, group, [condition], "rate", e, notes) for e in made.recalls]
    gaps = [reporting.signed(reporting.estimate_cell(results, group, [condition], "rate", e, notes)) for e in made.gaps]
    first = made.recalls[0]
    return [reporting.title_of(group), condition, by, *recalls, *gaps, *made.objects, first.n, first.excluded]
