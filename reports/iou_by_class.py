"""How well each class is segmented before and after an intervention, beside the placebo."""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.removal_response import CHANGES, changed_images
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition

_COLUMNS = ("model", "class", "before", "after", "effect", "control's effect", "effect − control", "n")
_AFFECTED = tuple(("images that change", f"by > {change:.2f}") for change in CHANGES)
_CAPTION = (
    "Segmentation: intersection over union of each class before and after an intervention, over the pixels that the edit left alone "
    "(filled pixels are scored in neither image), in percent with 95 % intervals. Classes that never occur are left out. "
    "Every number of a row is of the same n images: those that the intervention and its control could both serve. "
    "Images that change: those whose own intersection over union of the class changes by more, either way, of all that hold the class."
)


@report(paper="arXiv:1812.06707")
def iou_by_class(intervention: str = "") -> Report:
    """IoU of every class before and after; intervention: one condition's name, or empty for all removals."""

    def make(results: Results) -> list[Table]:
        if "segmentation" not in reporting.tasks_of(results):
            return []
        conditions = [c for c in results.conditions("segmentation", "intervention") if _is_wanted(results, c, intervention)]
        return [_table(results, conditions)] if conditions else []

    return make


def _is_wanted(results: Results, condition: Condition, intervention: str) -> bool:
    return condition.name == intervention if intervention else reporting.is_removal(results, "segmentation", condition)


def _table(results: Results, conditions: list[Condition]) -> Table:
    notes = Footnotes()
    rows = [
        row
        for group in reporting.groups_of(results, "segmentation")
        for condition in conditions
        for name in results.model_row(group).classes
        for row in _row(results, group, condition, name, notes)
    ]
    return Table(
        cells_of([*_COLUMNS, *_AFFECTED], rows),
        _CAPTION,
        "iou-by-class",
        notes.notes,
        "segmentation",
        blocks="model",
        title="IoU of each class, before and after",
    )


def _row(results: Results, group: Group, condition: Condition, name: str, notes: Footnotes) -> list[list[Cell]]:
    """One row over one set of samples, or none where the class occurs neither before nor after."""
    metric = f"class-iou(of={name!r})"
    scratch = Footnotes()
    before = reporting.shown_before(results, group, condition.name, metric, scratch, paired=True)
    after = reporting.metric_cell(results, group, condition.name, metric, scratch, paired=True)
    if before.state == after.state == "undefined":
        return []
    before = reporting.mark_unlearned(reporting.shown_before(results, group, condition.name, metric, notes, paired=True), notes)
    after = reporting.metric_cell(results, group, condition.name, metric, notes, paired=True)
    effect, control, difference = reporting.shown_effect(results, group, condition.name, metric, notes)
    block = f"{reporting.title_of(group)}: {condition.name}"
    cells: list[Cell] = [block, name, before, after, effect, control or "no control", difference or "no control"]
    n: Cell = None if after.state == "blocked" else after.estimate.n
    return [[*cells, n, *_affected_shares(results, group, condition, name, blocked=after.state == "blocked")]]


def _affected_shares(results: Results, group: Group, condition: Condition, name: str, *, blocked: bool) -> list[Cell]:
    """Shares of the images beyond each of CHANGES (Shetty et al.); empty with fewer than FEWEST images that hold the class."""
    if blocked:
        return [None] * len(CHANGES)
    metric, index = f"class-iou(of={name!r})", results.model_row(group).classes.index(name)
    sides = results.evidence(group, condition.name, metric), results.evidence(group, condition.name, metric, reference=True)
    affected = changed_images(*sides, index)
    return [None if affected is None else f"{affected[change]:.0%}" for change in CHANGES]
