"""What attacks broke, sample by sample, and how much of a physical attack's success is left under random conditions."""

from __future__ import annotations

from dataclasses import replace

import pyarrow

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.intervals import with_caution
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.score_intervals import wilson
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

_COLUMNS = ("model", "condition", "attacked", "broken", "success", "of its plain form's")


@report()
def attack_success() -> Report:
    """Samples attacked and broken by each attack; of a patch seen under random conditions also the share of those that it breaks plain."""
    return lambda results: [_table(results, task) for task in reporting.tasks_of(results) if results.conditions(task, "attack")]


def _table(results: Results, task: Task) -> Table:
    conditions, marks = [c for c in reporting.ordered_conditions(results, task) if c.attack is not None], Footnotes()
    rows = [_row(results, group, one, conditions, marks) for group in reporting.groups_of(results, task) for one in conditions]
    caption = f"{reporting.TASK_TITLES[task]}: samples that each attack was tried on, and how many it broke by its own criterion."
    notes = (
        "Intervals are 95 %. A sample is attacked where it has what the attack is aimed at. The last column: of the samples that the same "
        "patch breaks when it is seen straight on in even light (plain), the share that it also breaks under the sampled conditions.",
    )
    return Table(
        cells_of(_COLUMNS, rows), caption, f"attack-success-{task}", (*marks.notes, *notes), task, blocks="model", title="Attack success"
    )


def _row(results: Results, group: Group, condition: Condition, conditions: list[Condition], marks: Footnotes) -> list[Cell]:
    broken = results.broken(group, condition.name)
    kept: Cell = None
    success = replace(_rate(broken.values), failed=len(results.failed_samples(group, condition.name)))
    blocked = results.stop_reason(group, condition.name) is not None
    counts: list[Cell] = [None, None] if blocked else [len(broken), broken.values.true_count]
    shown = reporting.estimate_cell(results, group, [condition.name], "rate", success, marks)
    plain = _plain_of(results, group.task, condition, conditions)
    if plain is not None:
        straight = results.broken(group, plain.name)
        both = broken.only(straight.ids.filter(straight.values))
        kept = reporting.estimate_cell(results, group, [condition.name, plain.name], "rate", _rate(both.values), marks)
    return [reporting.title_of(group), condition.name, *counts, shown, kept]


def _plain_of(results: Results, task: Task, condition: Condition, conditions: list[Condition]) -> Condition | None:
    """Where the same fitted patch is judged without its random conditions; None for what is not judged under such."""
    sampled = results.facts(task, condition.name).attack
    if sampled is None or sampled.judged != "sampled":
        return None
    others = {c.name: results.facts(task, c.name).attack for c in conditions}
    return next((c for c in conditions if (o := others[c.name]) is not None and (o.judged, o.fit) == ("plain", sampled.fit)), None)


def _rate(outcomes: pyarrow.BooleanArray) -> Estimate:
    n, hits = len(outcomes), outcomes.true_count
    if n == 0:
        return Estimate(None, None, None, 0, reason="no sample has what the attack is aimed at")
    return with_caution(Estimate(hits / n, *wilson(hits, n), n))
