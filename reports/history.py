"""What the years of architecture changed: every model by its year, clean, under attack, and with its context changed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.palette import INK, PAPER, RULE
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.figures import NOTHING, Chart, legend_above, say, value_axis
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, MetricRow, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("year", "model", "family", "parameters", "condition", "kind", "value", "low", "high", "n")


@dataclass(frozen=True)
class _Entry:
    """A model of the run with what the registry knows of its architecture. year 9999: the registry knows none."""

    group: Group
    name: str
    year: int
    family: str
    parameters: int


@report()
def history() -> Report:
    """A table and a figure a task, models in the order of their years: clean, attacked, and what the context is worth."""
    return lambda results: [made for task in reporting.tasks_of(results) for made in (_chart(results, task), _table(results, task))]


def _entries(results: Results, task: Task) -> list[_Entry]:
    entries = [_entry(results, group) for group in reporting.groups_of(results, task)]
    return sorted(entries, key=lambda entry: (entry.year, entry.name))


def _entry(results: Results, group: Group) -> _Entry:
    row, known = results.model_row(group), results.architecture(group)
    return _Entry(group, row.name, 9999 if known.year is None else known.year, known.family, row.parameters)


def _shown_conditions(results: Results, task: Task) -> list[Condition]:
    return [c for c in reporting.ordered_conditions(results, task) if c.kind != "control"]


def _table(results: Results, task: Task) -> Table:
    metric, notes = results.metrics(task)[0], Footnotes()
    conditions = _shown_conditions(results, task)
    columns: list[str | tuple[str, str]] = ["year", "model"]
    for condition in conditions:
        if condition.kind == "intervention":
            columns += [(condition.name, "after"), (condition.name, "effect − control")]
        else:
            columns.append(condition.name)
    columns += ["family", "parameters"]
    rows = [_row(results, entry, conditions, metric, notes) for entry in _entries(results, task)]
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} by the year of the architecture, clean, under attack and with its "
        "context changed; 95 % intervals. Effect − control is what the context itself is worth: the change that the edit makes, less the "
        "change that the same edit makes where no object is."
    )
    said = (*notes.notes, *reporting.scoring_note(results, task))
    return Table(cells_of(columns, rows), caption, f"history-{task}", said, task, title="By year")


def _row(results: Results, entry: _Entry, conditions: list[Condition], metric: str, notes: Footnotes) -> list[Cell]:
    cells: list[Cell] = [None if entry.year == 9999 else str(entry.year), entry.name]
    for condition in conditions:
        cells.append(reporting.metric_cell(results, entry.group, condition.name, metric, notes))
        if condition.kind == "intervention":
            effect, _, difference = reporting.shown_effect(results, entry.group, condition.name, metric, notes)
            cells.append(difference or effect)
    return [*cells, entry.family, entry.parameters]


def _chart(results: Results, task: Task) -> Chart:
    metric, notes, rows = results.metrics(task)[0], Footnotes(), []
    entries, conditions = _entries(results, task), _shown_conditions(results, task)
    for entry in entries:
        for condition in conditions:
            e = reporting.metric_cell(results, entry.group, condition.name, metric, notes).estimate
            facts = (entry.year, entry.name, entry.family, entry.parameters)
            rows.append((*facts, condition.name, condition.kind, e.value, e.low, e.high, e.n))
    frame = pandas.DataFrame(rows, columns=list(_COLUMNS)).astype({"value": float, "low": float, "high": float})
    scale, hues = results.metric_row(task, metric), reporting.model_hues(results, task)
    caption = f"{reporting.TASK_TITLES[task]}: {metric} of every architecture, oldest first; bars are 95 % intervals."
    said = (*notes.notes, *reporting.scoring_note(results, task))
    size = (6.4, 1.3 + 0.3 * len(entries))
    return Chart(
        frame=frame,
        draw=lambda axes, f: _draw(axes, f, scale, hues),
        caption=caption,
        label=f"history-{task}",
        notes=said,
        task=task,
        title="Thirty years, oldest first",
        size=size,
    )


def _draw(axes: Axes, frame: pandas.DataFrame, metric: MetricRow, hues: Mapping[str, str]) -> None:
    models = list(dict.fromkeys(frame["model"]))
    conditions = list(dict.fromkeys(zip(frame["condition"], frame["kind"], strict=True)))
    for (name, kind), marker in zip(conditions, itertools.cycle("osD^vP"), strict=False):
        is_edited = kind == "intervention"
        part = frame[(frame["condition"] == name) & frame["value"].notna()]
        heights = [models.index(model) for model in part["model"]]
        for height, row in zip(heights, part.itertuples(), strict=True):
            hue = hues[str(row.model)]
            axes.plot([row.low, row.high], [height, height], color=hue, alpha=0.25, linewidth=2.4, solid_capstyle="butt")
            axes.plot(row.value, height, marker, color=hue, markerfacecolor=PAPER if is_edited else hue)
        axes.plot([], [], marker, color=INK, markerfacecolor=PAPER if is_edited else INK, linestyle="", label=name)
    if not frame["value"].notna().any():
        say(axes, NOTHING)
    years = dict(zip(frame["model"], frame["year"], strict=True))
    axes.set_yticks(range(len(models)), [f"{model}  {years[model]}" if years[model] != 9999 else model for model in models])
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(metric.words)
    value_axis(axes.xaxis, axes.set_xlim, metric)
    for y in range(1, len(models)):
        axes.axhline(y - 0.5, color=RULE, linewidth=0.4)
    legend_above(axes)
