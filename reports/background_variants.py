"""What is left of the accuracy when an object is alone, gone, or elsewhere: ImageNet-9's table (Xiao et al., ICLR 2021)."""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.object_recall import NAME as OBJECT_RECALL
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

_COLUMNS = ("model", "variant", "object's pixels", "accuracy", "difference to the original", "n", "without this variant")
_TASK: Task = "classification"


@report(paper="arXiv:2006.09994")
def background_variants() -> Report:
    """How often a classifier answers with the object's class under each edit of object or background, beside the original."""
    return lambda results: [table] if (table := _table(results)) is not None else []


def _table(results: Results) -> Table | None:
    if _TASK not in reporting.tasks_of(results) or not results.conditions(_TASK, "clean"):
        return None
    variants = [c for c in results.conditions(_TASK, "intervention") if results.facts(_TASK, c.name).context is not None]
    if not variants or {"top-1", OBJECT_RECALL} - {*results.metrics(_TASK)}:
        return None
    notes = Footnotes()
    rows = [
        _row(results, group, condition, notes)
        for group in reporting.groups_of(results, _TASK)
        for condition in (results.conditions(_TASK, "clean")[0], *variants)
    ]
    caption = (
        "Classification: how often the most probable class is the object's (top-1); where the object is gone (object-recall), that is what "
        "the background alone gives away. Differences are of the same images, paired; 95 % intervals."
    )
    return Table(cells_of(_COLUMNS, rows), caption, "background-variants", notes.notes, _TASK, blocks="model", title="Variants")


def _row(results: Results, group: Group, condition: Condition, notes: Footnotes) -> list[Cell]:
    gone = results.facts(_TASK, condition.name).removes_objects
    metric = OBJECT_RECALL if gone else "top-1"
    accuracy = reporting.metric_cell(results, group, condition.name, metric, notes)
    left_out: Cell = results.counts(group, condition.name).get("not-applicable", 0)
    effect: Cell = None
    if condition.kind != "clean" and accuracy.estimate.n:
        made = results.effect(group, condition.name, metric).effect
        unit = reporting.unit_of(results, _TASK, metric)
        effect = reporting.signed(reporting.estimate_cell(results, group, [condition.name], unit, made, notes))
    name = "original" if condition.kind == "clean" else condition.name
    return [reporting.title_of(group), name, "gone" if gone else "there", accuracy, effect, accuracy.estimate.n, left_out]
