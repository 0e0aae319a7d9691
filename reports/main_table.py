"""The main table: every model under every condition, with interval, n, what failed and what the attacks spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

_COST = ("norm", "queries", "budget", "steps", "forwards", "backwards", "attack strength")
_FAILED: tuple[str | tuple[str, str], ...] = ("failed", ("if the failed were", "all wrong"), ("if the failed were", "all right"))


@report()
def main_table() -> Report:
    """Models by conditions: value, 95 % interval, n, excluded; the worst case of each budget; each attack's budget and cost."""
    return lambda results: [_table(results, task) for task in reporting.tasks_of(results)]


@dataclass(frozen=True)
class _Beside:
    """A column about removed objects. base: which of the metric's base rates; "" for the metric itself."""

    metric: str
    base: Literal["", "never held", "placebo"] = ""

    @property
    def name(self) -> str:
        return f"{self.metric}: {self.base}" if self.base else self.metric


@dataclass(frozen=True)
class _Columns:
    """What the table of one task shows besides value and counts. failed: whether any sample did."""

    metric: str
    failed: bool
    beside: tuple[_Beside, ...]
    attacks: bool
    queries: bool

    @property
    def names(self) -> list[str | tuple[str, str]]:
        removed = [("removed objects", column.name) for column in self.beside]
        costs = [name for name in _COST if name != "queries" or self.queries]
        attacks = [("attack, per sample", name) for name in costs] if self.attacks else []
        return ["model", "condition", self.metric, "n", "excluded", *(_FAILED if self.failed else ()), *removed, *attacks]


def _table(results: Results, task: Task) -> Table:
    columns, notes = _columns(results, task), Footnotes()
    rows: list[list[Cell]] = []
    for group in reporting.groups_of(results, task):
        for condition in reporting.ordered_conditions(results, task):
            rows.append(_row(results, group, condition, columns, notes))
            if condition in results.conditions(task, "attack")[-1:]:
                rows += _worst_cases(results, group, columns, notes)
    caption = (
        f"{reporting.TASK_TITLES[task]}: {columns.metric} under every condition, with 95 % intervals. n is the number of samples "
        "behind a number; excluded samples were not applicable or failed."
    )
    cautions = (*reporting.scoring_note(results, task), *reporting.alone_note(results, task))
    every = (
        *notes.notes,
        *_explain_worst_case(results, task),
        *_explain_strength(results, task),
        *_explain_base_rates(columns),
        *cautions,
        *reporting.exclusions(results, task, columns.metric),
    )
    frame = cells_of(columns.names, [row[: len(columns.names)] for row in rows])
    return Table(frame, caption, f"main-{task}", every, task, blocks="model", title="Main table", cautions=cautions)


def _columns(results: Results, task: Task) -> _Columns:
    groups, conditions = reporting.groups_of(results, task), results.conditions(task)
    failed = any(results.failed_samples(group, condition.name) for group in groups for condition in conditions)
    attacks = [f for c in results.conditions(task, "attack") if (f := results.facts(task, c.name).attack) is not None]
    asked = any(facts.queries is not None for facts in attacks)
    beside = tuple(_beside(results, task))
    return _Columns(results.metrics(task)[0], failed, beside, bool(results.conditions(task, "attack")), asked)


def _beside(results: Results, task: Task) -> Iterator[_Beside]:
    """No number stands alone for a removal: AP cannot see what is reported where nothing is, and accuracy is not defined there."""
    removals = [c for c in results.conditions(task, "intervention") if reporting.is_removal(results, task, c)]
    groups = reporting.groups_of(results, task)
    for metric in reporting.hallucination_metrics(results, task) if removals else ():
        yield _Beside(metric)
        if any(results.base_rates(group, removal.name, metric) for group in groups for removal in removals):
            yield from (_Beside(metric, "never held"), _Beside(metric, "placebo"))


def _row(results: Results, group: Group, condition: Condition, columns: _Columns, notes: Footnotes) -> list[Cell]:
    name = f"↳ {condition.name}" if condition.kind == "control" else condition.name
    number = reporting.metric_cell(results, group, condition.name, columns.metric, notes)
    removal = reporting.is_removal(results, group.task, condition)
    removed = [_removal_cell(results, group, condition, column, notes) if removal else None for column in columns.beside]
    return [reporting.title_of(group), name, number, *_counts(number, columns), *removed, *_cost(results, group, condition, columns)]


def _removal_cell(results: Results, group: Group, condition: Condition, column: _Beside, notes: Footnotes) -> Cell:
    """What is reported of the removed classes, or how often the same is said of images that never held them, or of the placebo."""
    if not column.base:
        return reporting.metric_cell(results, group, condition.name, column.metric, notes)
    rates = results.base_rates(group, condition.name, column.metric)
    if rates is None:
        return None
    names = [condition.name, *results.controls(group.task, condition.name)]
    return reporting.estimate_cell(results, group, names, "rate", rates.never_held if column.base == "never held" else rates.placebo, notes)


def _counts(number: Number, columns: _Columns) -> Iterator[Cell]:
    """n and excluded; where anything failed, how many, and the number with all of them wrong, and all right."""
    blocked, e = number.state == "blocked", number.estimate
    yield from (None, None) if blocked else (e.n, e.excluded)
    if columns.failed:
        yield None if blocked else e.failed
        for bound in (e.all_wrong, e.all_right):
            yield None if blocked or bound is None else Number(Estimate(bound, None, None, e.n + e.failed), number.unit)


def _cost(results: Results, group: Group, condition: Condition, columns: _Columns) -> Iterator[Cell]:
    """What the built attack may do, what it spent here, and the verdict on it."""
    cost, facts = results.cost(group, condition.name), results.facts(group.task, condition.name).attack
    yield None if facts is None else reporting.NORMS[facts.norm]
    if columns.queries:
        yield None if facts is None else facts.queries
    yield reporting.budget_of(facts)
    yield reporting.steps_of(facts)
    yield None if cost is None else round(cost.forwards, 1)
    yield None if cost is None else round(cost.backwards, 1)
    yield reporting.strength_of(results, group, condition.name)


def _worst_cases(results: Results, group: Group, columns: _Columns, notes: Footnotes) -> Iterator[list[Cell]]:
    """One row for each budget: what holds within one says nothing of another."""
    for budget, worst in reporting.worst_cases(results, group, columns.metric, notes):
        name = f"worst case {reporting.budget_name(budget)}"
        asked: Sequence[Cell] = [None] if columns.queries else []
        cost: Sequence[Cell] = [reporting.NORMS[budget.norm], *asked, reporting.radius_text(budget.norm, budget.radius), *[None] * 4]
        yield [reporting.title_of(group), name, worst, *_counts(worst, columns), *[None] * len(columns.beside), *cost]


def _explain_strength(results: Results, task: Task) -> tuple[str, ...]:
    if not any(results.strength(g, c.name) for g in reporting.groups_of(results, task) for c in results.conditions(task, "attack")):
        return ()
    return (
        "Attack strength: strong where other attacks, tried on samples that this one did not break, do no better (see the checks); nothing "
        "to break: every sample counts as broken without the attack.",
    )


def _explain_worst_case(results: Results, task: Task) -> tuple[str, ...]:
    if not results.conditions(task, "attack"):
        return ()
    primary = results.run.metrics(task)[0]
    if not primary.is_rate:
        return (f"{primary.name} is a ratio of sums over the data set, so it has no per-sample worst case.",)
    return (
        "Worst case: each sample counts at its worst over clean and the attacks of one budget of one norm; it is no mean over attacks.",
    )


def _explain_base_rates(columns: _Columns) -> tuple[str, ...]:
    if not any(column.base for column in columns.beside):
        return ()
    return (
        "A removed class that is still reported, beside its base rates. Never held: how often the same class is reported of clean images "
        "that never held it. Placebo: of the same image with the same edit where no object is, so that the object is still there.",
    )
