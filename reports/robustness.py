"""The robustness table of a paper: models by budgets, the worst case of each budget, and the best only where a paired test says so."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pandas import DataFrame

from robustbench_cv.catalogue import report
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.significant_best import Leaders, leaders
from robustbench_cv.metrics.worst_case import worst_case
from robustbench_cv.rendering import reporting, threats
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Budget, Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

WORST = "worst case"
TIED = "⁼"


@report()
def robustness(columns: str = "", rows: str = "", metric: str = "", task: str = "", transpose: bool = False) -> Report:
    """Models by conditions with intervals; bold: better than every other model of its column; =: not told from the best.

    columns: names of conditions or curves, and "worst case", by commas; clean, all attacks and the worst case of each budget unless given
    (all edits where there is no attack). rows: names of models. metric: in place of each task's first. task: of this one alone. transpose:
    models are the columns.
    """
    wanted = _Wanted(_names(columns), _names(rows), metric, task, transpose)
    return lambda results: [table for one in _tasks(results, wanted) if (table := _table(results, one, wanted)) is not None]


@dataclass(frozen=True)
class _Wanted:
    """What was asked for; empty: what there is."""

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    metric: str
    task: str
    transpose: bool


@dataclass(frozen=True)
class _Column:
    """One column of numbers. condition: None for the worst case within a budget."""

    heading: tuple[str, str]
    condition: Condition | None = None
    budget: Budget | None = None


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _tasks(results: Results, wanted: _Wanted) -> list[Task]:
    tasks: list[Task] = [task for task in reporting.tasks_of(results) if wanted.task in ("", task)]
    if not tasks:
        raise UserError(f"the run has no {wanted.task!r}; it has {', '.join(reporting.tasks_of(results))}")
    if wanted.metric and not wanted.task:
        asked: list[Task] = [one for one in tasks if wanted.metric in results.metrics(one)]
        tasks = asked
    for kind, names in (("model", wanted.rows), ("condition", wanted.columns)):
        known = {name for one in tasks for name in _known(results, one, kind)}
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else "."
                raise UserError(f"no {kind} of the run is called {name!r}{hint} It has {', '.join(sorted(known))}")
    return tasks


def _known(results: Results, task: Task, kind: str) -> list[str]:
    if kind == "model":
        return [g.model for g in reporting.groups_of(results, task)]
    every = results.conditions(task)
    return [*(c.name for c in every), *(c.curve for c in every if c.curve), WORST]


def _table(results: Results, task: Task, wanted: _Wanted) -> Table | None:
    metric = wanted.metric or results.metrics(task)[0]
    groups = [g for g in reporting.groups_of(results, task) if not wanted.rows or g.model in wanted.rows]
    columns = list(_columns(results, task, metric, wanted))
    if not groups or not columns:
        return None
    notes = Footnotes()
    datasets = list(dict.fromkeys(g.dataset for g in groups))
    numbers: dict[tuple[Group, int], Number] = {}
    for dataset in datasets:
        members = [g for g in groups if g.dataset == dataset]
        for i, column in enumerate(columns):
            made = [_number(results, g, metric, column, notes) for g in members]
            first = _leaders(results, members, made, metric, column)
            numbers |= {(g, i): _ranked(n, k, first) for k, (g, n) in enumerate(zip(members, made, strict=True))}
    several = len(datasets) > 1
    frame = (_transposed if wanted.transpose else _upright)(groups, columns, numbers, several=several)
    conditions = [c.condition for c in columns if c.condition is not None]
    return Table(
        frame,
        _caption(results, task, metric, groups, columns, numbers),
        f"robustness-{task}",
        (*notes.notes, *_further_notes(results, task, metric, conditions)),
        task,
        blocks="data" if several and not wanted.transpose else None,
        title="Robustness",
        in_text=True,
    )


def _upright(groups: Sequence[Group], columns: Sequence[_Column], numbers: dict[tuple[Group, int], Number], *, several: bool) -> DataFrame:
    names = [*([("", "data")] if several else []), ("", "model"), *(c.heading for c in columns)]
    ordered = sorted(groups, key=lambda g: [other.dataset for other in groups].index(g.dataset))
    rows: list[list[Cell]] = [[*([g.dataset] if several else []), g.model, *(numbers[g, i] for i in range(len(columns)))] for g in ordered]
    return cells_of(names, rows)


def _transposed(
    groups: Sequence[Group], columns: Sequence[_Column], numbers: dict[tuple[Group, int], Number], *, several: bool
) -> DataFrame:
    heads: list[str | tuple[str, str]] = [(g.dataset, g.model) if several else g.model for g in groups]
    first: list[str | tuple[str, str]] = [("", "condition"), ("", "budget")] if several else ["condition", "budget"]
    rows: list[list[Cell]] = []
    for i, column in enumerate(columns):
        name, budget = column.heading if column.heading[0] else (column.heading[1], "")
        rows.append([name, budget, *(numbers[g, i] for g in groups)])
    return cells_of([*first, *heads], rows)


def _columns(results: Results, task: Task, metric: str, wanted: _Wanted) -> Iterator[_Column]:
    every = [c for c in reporting.ordered_conditions(results, task) if c.kind != "control" or c.name in wanted.columns]
    attacks = results.conditions(task, "attack")
    for condition in every:
        by_default = condition.kind in (("clean", "attack") if attacks else ("clean", "intervention"))
        if (condition.name in wanted.columns or condition.curve in wanted.columns) if wanted.columns else by_default:
            yield _Column(_heading(results, task, condition), condition)
    if (not wanted.columns or WORST in wanted.columns) and results.metric_row(task, metric).is_rate:
        for budget in results.budgets(task):
            text = reporting.radius_text(budget.norm, budget.radius)
            norm = "" if budget.norm == "linf" else f"{reporting.NORMS[budget.norm]} "
            yield _Column((WORST, f"{norm}{text}"), None, budget)


def _heading(results: Results, task: Task, condition: Condition) -> tuple[str, str]:
    if condition.kind == "attack":
        return threats.attack_title(results, task, condition), threats.budget_heading(results, task, condition)
    if condition.curve and condition.severity is not None:
        return condition.curve, condition.name.removeprefix(condition.curve).strip() or condition.name
    return "", condition.name


def _number(results: Results, group: Group, metric: str, column: _Column, notes: Footnotes) -> Number:
    if column.condition is not None:
        return reporting.metric_cell(results, group, column.condition.name, metric, notes)
    cases = dict(reporting.worst_cases(results, group, metric, notes))
    assert column.budget is not None
    return cases[column.budget]


def _leaders(results: Results, groups: Sequence[Group], numbers: Sequence[Number], metric: str, column: _Column) -> Leaders:
    sides = [_evidence(results, g, metric, column) if n.state == "shown" else None for g, n in zip(groups, numbers, strict=True)]
    return leaders(results.metric(groups[0], metric), sides)


def _evidence(results: Results, group: Group, metric: str, column: _Column) -> Column:
    if column.condition is not None:
        return results.evidence(group, column.condition.name, metric)
    assert column.budget is not None
    names = [*(c.name for c in results.conditions(group.task, "clean")[:1]), *column.budget.conditions]
    return worst_case(results.metric(group, metric), [results.evidence(group, name, metric) for name in names])


def _ranked(number: Number, at: int, first: Leaders) -> Number:
    if at == first.best:
        return replace(number, best=True)
    return replace(number, marks=TIED + number.marks) if at in first.tied else number


def _caption(
    results: Results,
    task: Task,
    metric: str,
    groups: Sequence[Group],
    columns: Sequence[_Column],
    numbers: dict[tuple[Group, int], Number],
) -> str:
    conditions = [c.condition for c in columns if c.condition is not None]
    datasets = " and ".join(dict.fromkeys(g.dataset for g in groups))
    counts = sorted({n.estimate.n for n in numbers.values() if n.state == "shown"})
    size = "no number" if not counts else f"n = {counts[0]:,}" if len(counts) == 1 else f"n = {counts[0]:,} to {counts[-1]:,}"
    units = {"rate": " in %", "count": "", "count per image": " per image", "pixels": " in pixels", "score": ""}
    unit = units[reporting.unit_of(results, task, metric)]
    better = "higher" if results.metric_row(task, metric).higher_is_better else "lower"
    parts = [
        f"{reporting.TASK_TITLES[task]} on {datasets} ({size}): {metric}{unit} ({better} is better), with 95 % intervals.",
        threats.adversary_text(results, task, conditions),
        _worst_text(columns),
        _test_text(results, task, metric) if len(groups) > 1 else "",
        threats.run_text(results),
    ]
    return " ".join(part for part in parts if part)


def _worst_text(columns: Sequence[_Column]) -> str:
    if not any(c.budget is not None for c in columns):
        return ""
    return "Worst case: each sample at its worst over clean and all attacks of one budget."


def _test_text(results: Results, task: Task, metric: str) -> str:
    test = "McNemar's exact test" if results.metric_row(task, metric).is_rate else "paired t-test of influences"
    return f"Bold: better than every other model under the same condition (paired, {test}, Holm, 5 %); =: not told from the best."


def _further_notes(results: Results, task: Task, metric: str, conditions: Sequence[Condition]) -> tuple[str, ...]:
    row = results.metric_row(task, metric)
    ratio = f"{metric} is a ratio of sums over the data set, so that it has no worst case by sample."
    texts = (
        f"Evaluator: {metric}: {row.definition}" if row.definition else "",
        "" if row.is_rate or not results.conditions(task, "attack") else ratio,
        threats.weakened_text(results, task, conditions),
        *(reporting.scoring_note(results, task) if any(c.kind == "intervention" for c in conditions) else ()),
    )
    return tuple(text for text in texts if text)
