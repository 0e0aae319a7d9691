"""With a class, without it, and with it removed: the table of "Not Using the Car to See the Sidewalk" for any class and any data."""

from __future__ import annotations

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import facts_of
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results


@report(paper="arXiv:1812.06707")
def with_and_without_class() -> Report:
    """IoU of every class on images that hold a class, on those that do not, and on the first once it is removed (segmentation)."""
    return lambda results: [
        table for k, (name, removed) in enumerate(_removals(results)) if len((table := _table(results, removed, name, k)).frame)
    ]


def _removals(results: Results) -> list[tuple[str, str]]:
    """The conditions that remove one named class, and its name."""
    if "segmentation" not in reporting.tasks_of(results):
        return []
    found = []
    for condition in results.conditions("segmentation", "intervention"):
        facts = facts_of(results, "segmentation", condition)
        if facts is not None and facts.experiment == "remove-object" and facts.choice.named is not None:
            found.append((condition.name, facts.choice.named))
    return found


def _table(results: Results, removed: str, condition: str, k: int) -> Table:
    notes = Footnotes()
    columns = ("model", "class", f"with {removed}", f"without {removed}", f"{removed} removed", "removed − with", "control's effect", "net")
    rows = [
        row
        for group in reporting.groups_of(results, "segmentation")
        if removed in results.model_row(group).classes
        for name in results.model_row(group).classes
        for row in _row(results, group, condition, removed, name, notes)
    ]
    caption = (
        f"Segmentation: intersection over union of each class on images with {removed}, on images without, and on the first after "
        f"“{condition}”, over the pixels that are left. The first two are of different images: their difference is no effect. Removed − "
        "with: on the same images and pixels, beside the same edit where no object is; 95 % intervals."
    )
    title = f"With and without {removed}"
    return Table(cells_of(columns, rows), caption, f"with-and-without-class-{k}", notes.notes, "segmentation", blocks="model", title=title)


def _row(results: Results, group: Group, condition: str, removed: str, name: str, notes: Footnotes) -> list[list[Cell]]:
    """One row, or none for the class itself and for classes that never occur."""
    if name == removed:
        return []
    metric = f"class-iou(of={name!r})"
    made = context_results.presence(results, group, condition, removed, metric)
    clean = results.conditions(group.task, "clean")[0].name
    if made.with_class.value is None and made.without_class.value is None and not results.stop_reason(group, condition):
        return []
    names = ([clean], [clean], [condition])
    shown: list[Number] = [
        reporting.estimate_cell(results, group, those, "rate", one, notes) for those, one in zip(names, made, strict=True)
    ]
    effect, control, net = reporting.shown_effect(results, group, condition, metric, notes)
    return [[reporting.title_of(group), name, *shown, effect, control or "no control", net or "no control"]]
