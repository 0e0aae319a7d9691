"""The context index: of what a model loses with an object and with its context, the share that it loses with the context."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.object_recall import NAME
from robustbench_cv.palette import INK
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import EditPair, edit_pairs
from robustbench_cv.rendering.figures import Chart, percent_axis, points, say, wrap_label
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("model", "edits", "context index", "context sensitivity", "object reliance", "object recall", "n", "excluded")

_EXPLAINED = (
    "Context sensitivity: recall of the objects that is lost when their context is swapped and their own pixels stay. Object reliance: "
    "recall that is lost when they are removed and their context stays. Both less what the placebo loses. Context index: the first over "
    "the sum of both; 0 is a model that reads objects alone, 100 one that reads contexts alone."
)


@report(paper="arXiv:1812.06707")
def context_index() -> Report:
    """The headline of context analysis: one number a model, what it is made of, and whether fills and exact counterfactuals agree."""
    return lambda results: [item for task in reporting.tasks_of(results) for item in _items(results, task)]


def _items(results: Results, task: Task) -> list[Item]:
    pairs = edit_pairs(results, task)
    if not pairs:
        return []
    notes, dropped = Footnotes(), []
    rows: list[list[Cell]] = []
    points: list[tuple[str, str, float | None, float | None, float | None]] = []
    for group in reporting.groups_of(results, task):
        served = {pair: context_results.reliance(results, group, pair.removal, pair.swap).context_index.n for pair in pairs}
        kept = [pair for pair in pairs if not pair.exact or served[pair]]
        dropped += [pair for pair in pairs if pair not in kept]
        for pair in kept:
            row, index = _row(results, group, pair, notes)
            rows.append(row)
            points.append((reporting.short_title(results, group), pair.name, index.value, index.low, index.high))
    caption = f"{reporting.TASK_TITLES[task]}: how much of a model's recall of objects its context carries; 95 % intervals. {_EXPLAINED}"
    every = [*notes.notes, *_disagreements(results, task, pairs)]
    if dropped:
        every.append("No row for exact counterfactuals: the data were not rendered from descriptions, so that there are none.")
    table = Table(cells_of(_COLUMNS, rows), caption, f"context-index-{task}", tuple(every), task, blocks="model", title="Context index")
    return [table, _chart(results, points, task)]


def _row(results: Results, group: Group, pair: EditPair, notes: Footnotes) -> tuple[list[Cell], Estimate]:
    made = context_results.reliance(results, group, pair.removal, pair.swap)
    names = reporting.with_controls(results, group.task, [pair.removal, pair.swap])
    shown = [
        reporting.estimate_cell(results, group, names, "rate", one, notes)
        for one in (made.context_index, made.context_sensitivity, made.object_reliance)
    ]
    clean = reporting.shown_before(results, group, pair.removal, NAME, notes)
    index, sensitivity, reliance = shown
    name = "exact counterfactuals" if pair.exact else f"{pair.name} fill"
    number = made.context_index
    return [
        reporting.title_of(group),
        name,
        index,
        reporting.signed(sensitivity),
        reporting.signed(reliance),
        clean,
        None if index.blocked else number.n,
        None if index.blocked else number.excluded,
    ], index.estimate


def _disagreements(results: Results, task: Task, pairs: list[EditPair]) -> Iterator[str]:
    """For each model whose fills do not agree on the sign of its object reliance."""
    for group in reporting.groups_of(results, task):
        values = {
            pair.name: value
            for pair in pairs
            if not pair.exact and (value := context_results.reliance(results, group, pair.removal, pair.swap).object_reliance.value)
        }
        if len({value > 0 for value in values.values()}) > 1:
            said = ", ".join(f"{name} {100 * value:+.1f}".replace("-", "−") for name, value in values.items())
            yield f"{reporting.title_of(group)}: the fills do not agree on the sign of its object reliance ({said})."


def _chart(results: Results, points: list[tuple[str, str, float | None, float | None, float | None]], task: Task) -> Chart:
    frame = pandas.DataFrame(points, columns=["model", "edits", "context index", "low", "high"])
    frame = frame.astype({"context index": float, "low": float, "high": float})
    lines = frame["model"].nunique() + 1
    caption = f"{reporting.TASK_TITLES[task]}: the context index of each model with its 95 % interval, by how the edits were made."
    groups, own = reporting.groups_of(results, task), reporting.model_hues(results, task)
    hues = {reporting.short_title(results, group): own[group.model] for group in groups}
    return Chart(
        frame=frame,
        draw=lambda axes, shown: _draw(axes, shown, hues),
        caption=caption,
        label=f"context-index-chart-{task}",
        task=task,
        title="Context index by model",
        size=(6.4, 1.1 + 0.42 * max(2, lines)),
    )


def _draw(axes: Axes, frame: pandas.DataFrame, hues: Mapping[str, str]) -> None:
    """A line for each model, a point and its interval for each way of editing."""
    models, edits = list(dict.fromkeys(frame["model"])), list(dict.fromkeys(frame["edits"]))
    markers = dict(zip(edits, itertools.cycle("osD^v"), strict=False))
    if frame["context index"].isna().all():
        say(axes, "no model has a context index")
    for row in frame.itertuples(index=False):
        model, edit, value, low, high = row
        y = models.index(model) + 0.6 * ((edits.index(edit) + 0.5) / len(edits) - 0.5)
        axes.plot([low, high], [y, y], "-", color=hues[model], alpha=0.55, solid_capstyle="butt")
        axes.plot([value], [y], markers[edit], color=hues[model])
    for edit in edits:
        axes.plot([], [], markers[edit], color=INK, linestyle="", label=edit)
    axes.set_yticks(range(len(models)), [wrap_label(name, 40) for name in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    percent_axis(axes.xaxis)
    axes.set_xlabel("context index: 0 % reads objects alone, 100 % contexts alone")
    axes.grid(axis="x")
    axes.legend(frameon=False, fontsize=points(8), loc="upper left", bbox_to_anchor=(1.01, 1.0))
