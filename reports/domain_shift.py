"""One model on several data sets of the same classes: what it loses away from the first one."""

from __future__ import annotations

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Results
from robustbench_cv.tasks import Task

_COLUMNS = ("model", "data", "clean", "gap", "increase of the error", "n")


@report()
def domain_shift() -> Report:
    """Clean numbers of each model on each data set beside the first one's, with the gap and the error increase of Terra Incognita."""
    return lambda results: [table for task in reporting.tasks_of(results) if (table := _table(results, task)) is not None]


def _table(results: Results, task: Task) -> Table | None:
    metric, groups = results.metrics(task)[0], reporting.groups_of(results, task)
    first, *others = dict.fromkeys(group.dataset for group in groups)
    row = results.metric_row(task, metric)
    if not others or not results.conditions(task, "clean") or not row.higher_is_better or row.unit != "rate":
        return None
    notes = Footnotes()
    rows: list[list[Cell]] = []
    clean = results.conditions(task, "clean")[0].name
    for model in dict.fromkeys(group.model for group in groups):
        mine = {group.dataset: group for group in groups if group.model == model}
        cis = mine[first]
        rows.append([model, first, reporting.metric_cell(results, cis, clean, metric, notes), None, None, len(results.rows(cis, clean))])
        for dataset in others:
            trans = mine[dataset]
            made = context_results.between_data_sets(results, cis, trans, metric)
            gap, increase = (reporting.estimate_cell(results, trans, [clean], "rate", e, notes) for e in (made.gap, made.increase))
            signed: list[Cell] = [reporting.signed(c) for c in (gap, increase)]
            rows.append([model, dataset, reporting.metric_cell(results, trans, clean, metric, notes), *signed, made.trans.n])
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} on clean images of each data set. Gap: on {first} less on this one. Increase of the "
        f"error: (error here - error on {first}) / error on {first}, as in Terra Incognita (Beery et al., ECCV 2018); 95 % intervals."
    )
    return Table(cells_of(_COLUMNS, rows), caption, f"domain-shift-{task}", notes.notes, task, blocks="model", title="Domain shift")
