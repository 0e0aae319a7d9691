"""The overview: one dot and interval for each model and condition, all on one axis."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.palette import PAPER, RULE
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.figures import NOTHING, Chart, legend_above, say, value_axis, wrap_label
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.results import MetricRow, Results
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY = 24
"""Conditions beyond which placebos, whose numbers stand in the tables, are not drawn (project choice: a chart of one page)."""

_COLUMNS = ("model", "dataset", "condition", "kind", "value", "low", "high", "n", "excluded")


@report()
def overview() -> Report:
    """The primary metric of every model under every condition, as dots with 95 % intervals."""
    return lambda results: [_chart(results, task) for task in reporting.tasks_of(results)]


def _chart(results: Results, task: Task) -> Chart:
    metric, notes, rows = results.metrics(task)[0], Footnotes(), []
    every = reporting.ordered_conditions(results, task)
    order = [c for c in every if c.control_of is None] if len(every) > MANY else every
    for group in reporting.groups_of(results, task):
        cells: list[tuple[str, str, Number]] = [
            (c.name, c.kind, reporting.metric_cell(results, group, c.name, metric, notes)) for c in order
        ]
        worst = reporting.worst_cases(results, group, metric, notes)
        cells += [(f"worst case {reporting.budget_name(budget)}", "worst case", number) for budget, number in worst]
        for name, kind, cell in cells:
            e = cell.estimate
            rows.append((group.model, group.dataset, name, kind, e.value, e.low, e.high, e.n, e.excluded))
    frame = pandas.DataFrame(rows, columns=list(_COLUMNS)).astype({"value": float, "low": float, "high": float})
    missing = int(frame["value"].isna().sum())
    if len(every) > MANY:
        frame = frame[frame.groupby("condition")["value"].transform("count") > 0].reset_index(drop=True)
    scale, hues = results.metric_row(task, metric), reporting.model_hues(results, task)
    heights = 0.9 + 0.24 * frame["condition"].nunique() * max(1, len(reporting.groups_of(results, task)) * 0.7)
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} under every condition, with 95 % intervals: dots, open where images "
        "are edited; diamonds for worst cases."
    )
    hidden: tuple[str, ...] = (f"{missing} blocked or undefined numbers are not drawn.",) if missing else ()
    hidden += (f"Nor are the placebos of edits, {len(every) - len(order)} conditions.",) if len(order) < len(every) else ()
    return Chart(
        frame=frame,
        draw=lambda axes, f: _draw(axes, f, scale, hues),
        caption=caption,
        label=f"overview-{task}",
        notes=(*hidden, *reporting.scoring_note(results, task), *notes.notes),
        task=task,
        title="Overview",
        size=(6.4, heights),
    )


def _draw(axes: Axes, frame: pandas.DataFrame, metric: MetricRow, hues: Mapping[str, str]) -> None:
    names = _rank(frame)
    series = list(dict.fromkeys(zip(frame["model"], frame["dataset"], strict=True)))
    several = len({dataset for _, dataset in series}) > 1
    markers = dict(zip(dict.fromkeys(dataset for _, dataset in series), itertools.cycle("os^v"), strict=False))
    for k, (model, dataset) in enumerate(series):
        part = frame[(frame["model"] == model) & (frame["dataset"] == dataset) & frame["value"].notna()]
        shift = 0.0 if len(series) == 1 else (k / (len(series) - 1) - 0.5) * 0.55
        for row in part.itertuples():
            hue = hues[str(model)]
            y = names.index(str(row.condition)) + shift
            axes.plot([row.low, row.high], [y, y], color=hue, linewidth=2.4, alpha=0.35, solid_capstyle="round")
            is_edited = row.kind in ("intervention", "control")
            axes.plot(
                row.value, y, "D" if row.kind == "worst case" else markers[dataset], color=hue, markerfacecolor=PAPER if is_edited else hue
            )
        if len(series) > 1:
            name = f"{model} · {dataset}" if several else str(model)
            axes.plot([], [], markers[dataset], color=hues[str(model)], linestyle="", label=wrap_label(name, 40))
    if not frame["value"].notna().any():
        say(axes, NOTHING)
    _finish(axes, names, metric, legend=len(series) > 1)


def _rank(frame: pandas.DataFrame) -> list[str]:
    """Conditions from top to bottom, the worst case behind the attacks."""
    order = {kind: i for i, kind in enumerate(("clean", "attack", "worst case", "intervention", "control"))}
    pairs = dict.fromkeys(zip(frame["condition"].astype(str), frame["kind"].astype(str), strict=True))
    return [name for name, kind in sorted(pairs, key=lambda pair: min(order[pair[1]], order["intervention"]))]


def _finish(axes: Axes, names: Sequence[str], metric: MetricRow, *, legend: bool) -> None:
    axes.set_yticks(range(len(names)), [wrap_label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(metric.words)
    value_axis(axes.xaxis, axes.set_xlim, metric)
    for y in range(1, len(names)):
        axes.axhline(y - 0.5, color=RULE, linewidth=0.4)
    if legend:
        legend_above(axes)
