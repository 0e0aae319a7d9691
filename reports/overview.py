"""The overview: one dot and interval for each model and condition, all on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.palette import BY_KIND, PAPER, RULE
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.figures import NOTHING, Chart, colours, legend_above, say, shorten_label, value_axis
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.results import MetricRow, Results
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("model", "dataset", "condition", "kind", "value", "low", "high", "n", "excluded")


@report()
def overview() -> Report:
    """The primary metric of every model under every condition, as dots with 95 % intervals."""
    return lambda results: [_chart(results, task) for task in reporting.tasks_of(results)]


def _chart(results: Results, task: Task) -> Chart:
    metric, notes, rows = results.metrics(task)[0], Footnotes(), []
    order = reporting.ordered_conditions(results, task)
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
    scale = results.metric_row(task, metric)
    heights = 0.9 + 0.24 * frame["condition"].nunique() * max(1, len(reporting.groups_of(results, task)) * 0.7)
    caption = f"{reporting.TASK_TITLES[task]}: {metric} under every condition, dots with 95 % intervals; edited images are open dots."
    missing = int(frame["value"].isna().sum())
    hidden = (f"{missing} blocked or undefined numbers are not drawn.",) if missing else ()
    return Chart(
        frame=frame,
        draw=lambda axes, f: _draw(axes, f, scale),
        caption=caption,
        label=f"overview-{task}",
        notes=(*hidden, *reporting.scoring_note(results, task), *notes.notes),
        task=task,
        title="Overview",
        size=(6.4, heights),
    )


def _draw(axes: Axes, frame: pandas.DataFrame, metric: MetricRow) -> None:
    names = _rank(frame)
    series = list(dict.fromkeys(zip(frame["model"], frame["dataset"], strict=True)))
    hues = colours([f"{m} · {d}" for m, d in series])
    for k, (model, dataset) in enumerate(series):
        part = frame[(frame["model"] == model) & (frame["dataset"] == dataset) & frame["value"].notna()]
        shift = 0.0 if len(series) == 1 else (k / (len(series) - 1) - 0.5) * 0.55
        for row in part.itertuples():
            hue = BY_KIND[str(row.kind)] if len(series) == 1 else hues[f"{model} · {dataset}"]
            y = names.index(str(row.condition)) + shift
            axes.plot([row.low, row.high], [y, y], color=hue, linewidth=2.4, alpha=0.35, solid_capstyle="round")
            is_edited = row.kind in ("intervention", "control")
            axes.plot(row.value, y, "D" if row.kind == "worst case" else "o", color=hue, markerfacecolor=PAPER if is_edited else hue)
        if len(series) > 1:
            axes.plot([], [], "o", color=hues[f"{model} · {dataset}"], label=shorten_label(f"{model} · {dataset}", 40))
    if not frame["value"].notna().any():
        say(axes, NOTHING)
    _finish(axes, names, metric, legend=len(series) > 1)


def _rank(frame: pandas.DataFrame) -> list[str]:
    """Conditions from top to bottom, the worst case behind the attacks."""
    order = {kind: i for i, kind in enumerate(("clean", "attack", "worst case", "intervention", "control"))}
    pairs = dict.fromkeys(zip(frame["condition"].astype(str), frame["kind"].astype(str), strict=True))
    return [name for name, kind in sorted(pairs, key=lambda pair: min(order[pair[1]], order["intervention"]))]


def _finish(axes: Axes, names: Sequence[str], metric: MetricRow, *, legend: bool) -> None:
    axes.set_yticks(range(len(names)), [shorten_label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(metric.name)
    value_axis(axes.xaxis, axes.set_xlim, metric)
    for y in range(1, len(names)):
        axes.axhline(y - 0.5, color=RULE, linewidth=0.4)
    if legend:
        legend_above(axes)
