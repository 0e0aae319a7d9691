"""What attacks cost: forwards and backwards for each sample that they broke, and how many are broken within how many queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.score_intervals import wilson
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.curves import MOST_LINES
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.figures import NOTHING, Chart, colours, label_ends, percent_axis, say
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUARTILES = (0.25, 0.5, 0.75)
_COLUMNS = ("model", "dataset", "condition", "queries", "value", "low", "high", "n")


@report()
def query_cost() -> Report:
    """Forwards and backwards that each attack took for a broken sample, and the share of samples broken within so many queries.

    From what the records hold of each sample; a query is a forward pass. Samples that were wrong before any attack count as broken at once.
    """
    return lambda results: [
        item for task in reporting.tasks_of(results) if results.conditions(task, "attack") for item in _items(results, task)
    ]


def _items(results: Results, task: Task) -> list[Item]:
    charts = [_chart(results, group) for group in reporting.groups_of(results, task)]
    return [*(chart for chart in charts if not chart.frame.empty), _table(results, task)]


def _table(results: Results, task: Task) -> Table:
    notes, rows = Footnotes(), list[list[Cell]]()
    for group in reporting.groups_of(results, task):
        for condition in results.conditions(task, "attack"):
            rows.append([reporting.title_of(group), *_row(results, group, condition, notes)])
    columns: list[str | tuple[str, str]] = ["model", "condition", "tried", "broken"]
    columns += [
        (f"{what} of a broken sample", which)
        for what in ("forwards", "backwards")
        for which in ("lower quartile", "median", "upper quartile")
    ]
    columns += [("mean of the rest", "forwards"), ("mean of the rest", "backwards")]
    caption = (
        f"{reporting.TASK_TITLES[task]}: passes through the model until a sample was broken (of the broken ones half lie between the "
        "quartiles), and what was spent on each sample that was not broken."
    )
    return Table(cells_of(columns, rows), caption, f"query-cost-{task}", notes.notes, task, blocks="model", title="Cost of a broken sample")


def _row(results: Results, group: Group, condition: Condition, notes: Footnotes) -> list[Cell]:
    blocked, traces = results.stop_reason(group, condition.name), results.traces(group, condition.name)
    if blocked or traces.empty:
        mark = notes.warning(f"blocked by {blocked}") if blocked else notes.remark("this attack was tried on no sample.")
        return [f"{condition.name}{mark}", *[None] * (4 + 2 * len(_QUARTILES))]
    success = traces["success"].astype(bool)
    broken, rest = traces[success], traces[~success]
    cells: list[Cell] = [condition.name, len(traces), len(broken)]
    for name in ("forwards", "backwards"):
        cells += [None] * len(_QUARTILES) if broken.empty else [f"{v:.4g}" for v in numpy.quantile(broken[name].astype(float), _QUARTILES)]
    return [*cells, *(None if rest.empty else f"{rest[name].astype(float).mean():.4g}" for name in ("forwards", "backwards"))]


def _chart(results: Results, group: Group) -> Chart:
    notes = Footnotes()
    frames = [_curve(results, group, condition, notes) for condition in _drawn(results, group.task)]
    frame = pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame(columns=list(_COLUMNS))
    name, task = reporting.title_of(group), reporting.TASK_TITLES[group.task]
    return Chart(
        frame=frame,
        draw=_draw,
        caption=f"{task}: the share of the samples of {name} that each attack broke within so many queries (forward passes); 95 % bands.",
        label=f"queries-{group.task}-{slug(name)}",
        notes=notes.notes,
        task=group.task,
        title=f"Success against queries: {name}",
    )


def _drawn(results: Results, task: Task) -> list[Condition]:
    """Of each curve over budgets the largest budget; of more than a dozen attacks the first ones."""
    every = results.conditions(task, "attack")
    largest = {c.curve: max((d.severity or 0.0) for d in every if d.curve == c.curve) for c in every if c.curve}
    return [c for c in every if not c.curve or (c.severity or 0.0) == largest[c.curve]][:MOST_LINES]


def _curve(results: Results, group: Group, condition: Condition, notes: Footnotes) -> pandas.DataFrame:
    """The share broken at each number of queries at which a sample broke, and at the last that was made; without numbers where blocked."""
    head, traces = (group.model, group.dataset, condition.name), results.traces(group, condition.name)
    if traces.empty:
        return pandas.DataFrame(columns=list(_COLUMNS))
    if results.stop_reason(group, condition.name):
        reporting.metric_cell(results, group, condition.name, results.metrics(group.task)[0], notes)
        return pandas.DataFrame([(*head, 1, numpy.nan, numpy.nan, numpy.nan, 0)], columns=list(_COLUMNS))
    n, queries = len(traces), traces["forwards"].astype(int).clip(lower=1)
    broken = queries[traces["success"].astype(bool)]
    rows = []
    for at in sorted({1, *broken, int(queries.max())}):
        hits = int((broken <= at).sum())
        rows.append((*head, at, hits / n, *wilson(hits, n), n))
    return pandas.DataFrame(rows, columns=list(_COLUMNS))


def _draw(axes: Axes, frame: pandas.DataFrame) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    hues, ends = colours(list(frame["condition"])), []
    furthest = max(2.0, float(frame["queries"].max()))
    for name, line in frame[frame["value"].notna()].groupby("condition", sort=False):
        hue, x = hues[str(name)], [*line["queries"].astype(float), furthest]
        value, low, high = ([*line[column], line[column].iloc[-1]] for column in ("value", "low", "high"))
        axes.fill_between(x, low, high, step="post", color=hue, alpha=0.1, linewidth=0)
        axes.plot(x, value, drawstyle="steps-post", color=hue)
        ends.append((furthest, float(value[-1]), str(name), hue))
    if not ends:
        say(axes, NOTHING)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda passes, _: f"{passes:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(1, furthest)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("forward passes, on a logarithmic scale")
    axes.set_ylabel("broken within")
    percent_axis(axes.yaxis)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    label_ends(axes, ends)
