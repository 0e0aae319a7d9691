"""Robustness against occlusion: how the metric falls as more of the object is covered, beside the same cover elsewhere."""

from __future__ import annotations

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.metrics.object_recall import NAME as OBJECT_RECALL
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import Curve, curves_of
from robustbench_cv.rendering.curves import curve_charts
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

_CAPTION = "the covered share of the object; pale with open dots, the control: the same cover where no object is."

_COLUMNS = ("model", "occluder", "metric", "area under the curve", "occ50", "n", "excluded")


@report()
def occlusion_curve() -> Report:
    """The primary metric against the occluded share of the object, with the control's curve; the area under it, and occ50."""
    return lambda results: [item for task in reporting.tasks_of(results) for item in _items(results, task)]


def _items(results: Results, task: Task) -> list[Item]:
    curves = curves_of(results, task, "occlude-object")
    charts = curve_charts(
        results,
        task,
        "intervention",
        label="occlusion",
        title="Occlusion",
        caption=_CAPTION,
        axis="covered share of the object",
        curves=[c.curve for curve in curves for _, c in curve.steps if c.curve],
    )
    if not curves:
        return []
    notes = Footnotes()
    metrics = dict.fromkeys([results.metrics(task)[0], *(name for name in results.metrics(task) if name == OBJECT_RECALL)])
    rows = [
        _row(results, group, curve, metric, notes) for group in reporting.groups_of(results, task) for curve in curves for metric in metrics
    ]
    widest = max(level for curve in curves for level, _ in curve.steps)
    caption = (
        f"{reporting.TASK_TITLES[task]}: what is left as more of the object is covered, from nothing to {widest:.0%} of its visible "
        "pixels. Area: under the curve, a share of the width covered; 95 % intervals. occ50: the covered share at which less than half of "
        "the uncovered number is left, by straight lines between the steps; none: never."
    )
    table = Table(
        cells_of(_COLUMNS, rows), caption, f"occlusion-area-{task}", notes.notes, task, blocks="model", title="Occlusion in numbers"
    )
    return [*charts, table]


def _row(results: Results, group: Group, curve: Curve, metric: str, notes: Footnotes) -> list[Cell]:
    shares = {level: c.name for level, c in curve.steps}
    made = context_results.occlusion(results, group, shares, metric)
    area = reporting.estimate_cell(results, group, list(shares.values()), reporting.unit_of(results, group.task, metric), made.area, notes)
    half = None if area.state != "shown" else "none" if made.occ50 is None else f"{made.occ50:.0%}"
    quantity = reporting.quantity_of(results, group.task, metric)
    return [reporting.title_of(group), curve.method, quantity, area, half, made.area.n, made.area.excluded]
