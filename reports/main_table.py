"""The main table: every model under every condition, with interval, n and what the attacks spent."""

from __future__ import annotations

from collections.abc import Iterator

from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.cells import Cell, Footnotes, Number
from robustbench_cv.rendering.items import Report
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

_COST = ("norm", "queries", "budget", "steps", "forwards", "backwards", "attack strength")


@report()
def main_table() -> Report:
    """Models by conditions: value, 95 % interval, n, excluded; the worst case over attacks; each attack's budget and cost."""
    return lambda results: [_table(results, task) for task in reporting.tasks_of(results)]


def _table(results: Results, task: Task) -> Table:
    metric, notes = results.metrics(task)[0], Footnotes()
    beside = _beside(results, task)
    columns: list[str | tuple[str, str]] = ["model", "condition", metric, "n", "excluded"]
    columns += [("removed objects", name) for name in beside]
    columns += [("attack, per sample", name) for name in _COST] if results.conditions(task, "attack") else []
    rows = []
    for group in reporting.groups_of(results, task):
        for condition in reporting.ordered_conditions(results, task):
            rows.append(_row(results, group, condition, metric, beside, notes))
            if condition == _last_attack(results, task):
                rows += _worst_case(results, group, metric, beside, notes)
    frame = cells_of(columns, [row[: len(columns)] for row in rows])
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} under every condition, with 95 % intervals. n is the number of samples "
        "behind a number; excluded samples were not applicable or failed."
    )
    every = (
        *notes.notes,
        *_explain_worst_case(results, task),
        *_explain_strength(results, task),
        *reporting.alone_note(results, task),
        *reporting.exclusions(results, task, metric),
    )
    return Table(frame, caption, f"main-{task}", every, task, blocks="model", title="Main table")


def _beside(results: Results, task: Task) -> list[str]:
    """No number stands alone for a removal: AP cannot see what is reported where nothing is, and accuracy is not defined there."""
    if not any(reporting.is_removal(results, task, c) for c in results.conditions(task, "intervention")):
        return []
    return reporting.hallucination_metrics(results, task)


def _row(results: Results, group: Group, condition: Condition, metric: str, beside: list[str], notes: Footnotes) -> list[Cell]:
    name = f"↳ {condition.name}" if condition.kind == "control" else condition.name
    number = reporting.shown(results, group, condition.name, metric, notes)
    removal = reporting.is_removal(results, group.task, condition)
    others: list[Cell] = [reporting.shown(results, group, condition.name, m, notes) if removal else None for m in beside]
    return [reporting.title_of(group), name, number, *_counts(number), *others, *_cost(results, group, condition)]


def _counts(number: Number) -> tuple[Cell, Cell]:
    return (None, None) if number.state == "blocked" else (number.estimate.n, number.estimate.excluded)


def _cost(results: Results, group: Group, condition: Condition) -> Iterator[Cell]:
    """What the built attack may do, what it spent here, and the verdict on it."""
    cost, facts = results.cost(group, condition.name), results.facts(group.task, condition.name).attack
    yield None if facts is None else reporting.NORMS[facts.norm]
    yield None if facts is None else facts.queries
    yield reporting.budget_of(facts)
    yield reporting.steps_of(facts)
    yield None if cost is None else round(cost.forwards, 1)
    yield None if cost is None else round(cost.backwards, 1)
    yield reporting.strength_of(results, group, condition.name)


def _last_attack(results: Results, task: Task) -> Condition | None:
    attacks = results.conditions(task, "attack")
    return attacks[-1] if attacks else None


def _worst_case(results: Results, group: Group, metric: str, beside: list[str], notes: Footnotes) -> list[list[Cell]]:
    worst: Number | None = reporting.shown_worst_case(results, group, metric, notes)
    if worst is None:
        return []
    blank: list[Cell] = [None] * (len(beside) + len(_COST))
    return [[reporting.title_of(group), "worst case", worst, *_counts(worst), *blank]]


def _explain_strength(results: Results, task: Task) -> tuple[str, ...]:
    if not any(results.strength(g, c.name) for g in reporting.groups_of(results, task) for c in results.conditions(task, "attack")):
        return ()
    return ("Attack strength: strong where other attacks, tried on samples that this one did not break, do no better (see the checks).",)


def _explain_worst_case(results: Results, task: Task) -> tuple[str, ...]:
    if not results.conditions(task, "attack"):
        return ()
    primary = results.run.metrics(task)[0]
    if primary.is_rate:
        return ("Worst case: each sample counts at its worst over clean and all attacks; it is not a mean over attacks.",)
    return (f"{primary.name} is a ratio of sums over the data set, so it has no per-sample worst case.",)
