"""The leaderboard: the models of many runs of one suite and version, ranked by what is left of them; unequal protocols are refused.

A rank is shared by models that a paired test does not tell apart: a model's rank is one more than the number of those that are better
than it beyond doubt (Holm's correction over all pairs of the table).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from robustbench_cv import palette
from robustbench_cv.joined_runs import join
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.non_inferiority import SIZE, regression_of
from robustbench_cv.metrics.paired_tests import holm
from robustbench_cv.metrics.worst_case import worst_case
from robustbench_cv.rendering import page, reporting, threats
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.results import Budget, Group, Results
from robustbench_cv.tasks import Task


def leaderboard(runs: Sequence[Results]) -> tuple[Results, list[Table]]:
    """The runs as one, and a table for each task. UserError naming what is not of one protocol."""
    results = join(runs, same_protocol=True)
    return results, [_table(results, task) for task in reporting.tasks_of(results)]


def leaderboard_html(results: Results, tables: Sequence[Table]) -> str:
    """One self-contained page."""
    details = [item for item in build_items(results, ["robustness"]) if isinstance(item, Table)]
    made = page.templates().get_template("leaderboard.html.j2")
    return made.render(
        run=results.run,
        tables=tables,
        details=details,
        checks=threats.checks_text(results),
        colours=palette.css(),
        night=palette.css(dark=True),
    )


def _table(results: Results, task: Task) -> Table:
    metric, notes = results.metrics(task)[0], Footnotes()
    groups = reporting.groups_of(results, task)
    budget = _leading_budget(results, task, metric)
    leading, name = [_number(results, g, metric, budget, notes) for g in groups], _named(results, task, budget)
    plain = results.conditions(task, "clean")[0].name
    clean = [] if name == plain else [[reporting.metric_cell(results, g, plain, metric, notes)] for g in groups]
    ranks = _ranks(results, groups, leading, metric, budget)
    rows: list[list[Cell]] = []
    for i in sorted(
        range(len(groups)), key=lambda i: (ranks[i] is None, ranks[i] or 0, _sort_value(results, groups[i], metric, leading[i]))
    ):
        shared = ranks.count(ranks[i]) > 1
        rank = None if ranks[i] is None else f"{ranks[i]}{' =' if shared else ''}"
        rows.append([groups[i].dataset, rank, groups[i].model, leading[i], *(clean[i] if clean else []), leading[i].estimate.n])
    rows.sort(key=lambda row: [g.dataset for g in groups].index(str(row[0])))
    several = len({g.dataset for g in groups}) > 1
    columns = ["data", "rank", "model", name, *(["clean"] if clean else []), "n"]
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} of {len(groups)} model{'' if len(groups) == 1 else 's'}, ranked by {name}, with 95 % "
        "intervals. A rank is one more than the number of models that are better beyond doubt (paired tests, Holm over all pairs, 5 %); = "
        "where it is shared. "
        f"{threats.adversary_text(results, task, results.conditions(task, 'attack'))}"
    ).rstrip()
    frame = cells_of(columns, rows) if several else cells_of(columns[1:], [row[1:] for row in rows])
    return Table(
        frame, caption, f"leaderboard-{task}", notes.notes, task, blocks="data" if several else None, title="Leaderboard", in_text=True
    )


def _leading_budget(results: Results, task: Task, metric: str) -> Budget | None:
    """The budget that most attacks share, the largest of several; None where there is no worst case by sample."""
    if not results.metric_row(task, metric).is_rate:
        return None
    return max(results.budgets(task), key=lambda b: (len(b.conditions), b.radius), default=None)


def _fallback(results: Results, task: Task) -> str:
    """The strongest single condition: the attack, or else the edit, of the greatest severity; clean where there is none."""
    for kind in ("attack", "intervention"):
        every = results.conditions(task, kind)
        if every:
            return max(every, key=lambda c: c.severity or 0.0).name
    return results.conditions(task, "clean")[0].name


def _named(results: Results, task: Task, budget: Budget | None) -> str:
    return f"worst case {reporting.budget_name(budget)}" if budget is not None else _fallback(results, task)


def _number(results: Results, group: Group, metric: str, budget: Budget | None, notes: Footnotes) -> Number:
    if budget is None:
        return reporting.metric_cell(results, group, _fallback(results, group.task), metric, notes)
    return dict(reporting.worst_cases(results, group, metric, notes))[budget]


def _sort_value(results: Results, group: Group, metric: str, number: Number) -> float:
    value = number.estimate.value if number.state == "shown" else None
    sign = -1 if results.metric_row(group.task, metric).higher_is_better else 1
    return float("inf") if value is None else sign * value


def _evidence(results: Results, group: Group, metric: str, budget: Budget | None) -> Column:
    if budget is None:
        return results.evidence(group, _fallback(results, group.task), metric)
    names = [*(c.name for c in results.conditions(group.task, "clean")[:1]), *budget.conditions]
    return worst_case(results.metric(group, metric), [results.evidence(group, name, metric) for name in names])


def _ranks(results: Results, groups: Sequence[Group], numbers: Sequence[Number], metric: str, budget: Budget | None) -> list[int | None]:
    """None for a model without a number."""
    sides = [_evidence(results, g, metric, budget) if n.state == "shown" else None for g, n in zip(groups, numbers, strict=True)]
    pairs = [
        (i, j)
        for i, j in combinations(range(len(groups)), 2)
        if groups[i].dataset == groups[j].dataset and sides[i] is not None and sides[j] is not None
    ]
    tests = []
    for i, j in pairs:
        one, other = sides[i], sides[j]
        assert one is not None
        assert other is not None
        built = results.metric(groups[i], metric)
        result = regression_of(built, one, other, margin=0.0)
        p = result.mcnemar.two_sided if result.mcnemar is not None else min(1.0, 2 * min(result.p_regression, result.p_pass))
        tests.append((p, (result.loss or 0.0) > 0))
    adjusted = holm([p for p, _ in tests])
    beaten = [0] * len(groups)
    for (i, j), p, (_, first_is_better) in zip(pairs, adjusted, tests, strict=True):
        if p < SIZE:
            beaten[j if first_is_better else i] += 1
    return [None if side is None else 1 + n for side, n in zip(sides, beaten, strict=True)]


def ranked(table: Table) -> list[tuple[str, str]]:
    """Rank and model, in the order of the table."""
    names = [str(name) for name in table.frame.columns]
    rank, model = names.index("rank"), names.index("model")
    return [(str(row[rank]), str(row[model])) for row in table.frame.itertuples(index=False, name=None)]
