"""Which fill to trust: the effect of masking and filling an object beside the effect of its exact removal, in the model's own response."""

from __future__ import annotations

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.object_recall import NAME
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import facts_of
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

_COLUMNS = ("model", "fill", "bias", "spread", "correlation", "sign agreement", "n", "excluded")


@report()
def fill_fidelity() -> Report:
    """Of data that is rendered from descriptions: bias, spread, correlation and sign agreement of each fill with the truth."""
    return lambda results: [table for task in reporting.tasks_of(results) for table in _tables(results, task)]


def _tables(results: Results, task: Task) -> list[Table]:
    if NAME not in results.metrics(task):
        return []
    notes = Footnotes()
    rows = [
        row
        for group in reporting.groups_of(results, task)
        for filled, exact, fill in _with_truth(results, task)
        for row in _row(results, group, filled, exact, fill, notes)
    ]
    if not rows:
        return []
    caption = (
        f"{reporting.TASK_TITLES[task]}: what removing the objects does to their recall, by mask and fill, less what their exact removal "
        "does (rendered again without them). Bias: the mean over the images, 95 % interval; spread: its standard deviation by "
        "image; correlation of the two effects by image; sign agreement: images on which both go up, both go down, or neither moves."
    )
    frame = cells_of(_COLUMNS, rows)
    return [Table(frame, caption, f"fill-fidelity-{task}", notes.notes, task, blocks="model", title="Fills against the truth")]


def _with_truth(results: Results, task: Task) -> list[tuple[str, str, str]]:
    """Each filled removal with the exact removal of the same objects, and the fill's name."""
    edits: list[tuple[Condition, str, str, bool]] = [
        (c, f.choice.what, f.method, f.exact)
        for c in results.conditions(task, "intervention")
        if (f := facts_of(results, task, c)) is not None and f.experiment == "remove-object"
    ]
    return [
        (c.name, truth.name, method)
        for c, what, method, exact in edits
        if not exact
        for truth, same, _, true in edits
        if true and same == what
    ]


def _row(results: Results, group: Group, filled: str, exact: str, fill: str, notes: Footnotes) -> list[list[Cell]]:
    made = context_results.fidelity(results, group, filled, exact)
    if not made.bias.n:
        return []
    names = [filled, exact]
    bias = reporting.estimate_cell(results, group, names, "rate", made.bias, notes)
    agreement = reporting.estimate_cell(results, group, names, "rate", made.agreement, notes)
    shown = reporting.signed(bias)
    spread = None if made.spread is None or bias.blocked else Number(Estimate(made.spread, None, None, made.bias.n))
    correlation = None if made.correlation is None or bias.blocked else round(made.correlation, 3)
    return [[reporting.title_of(group), fill, shown, spread, correlation, agreement, made.bias.n, made.bias.excluded]]
