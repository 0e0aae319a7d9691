"""How much of the context, or of the object, a model needs: recall as either is shown in part or blurred (Zhang, Tseng, Kreiman)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.figures import Chart, colours, label_ends, say, value_axis
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Footnotes
from robustbench_cv.results import Group, MetricRow, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXES = {
    "context shown": ("area of the context shown, in areas of the object's box", "whole"),
    "context blurred": ("blur of the context: Gaussian sigma, px at a shorter side of 224 px", "sharp"),
    "object blurred": ("blur of the object: Gaussian sigma, px at a shorter side of 224 px", "sharp"),
}
"""Of each curve: what its levels are, and what the unedited image is called among them."""


@report(paper="arXiv:1911.07349")
def context_curves() -> Report:
    """Recall of the objects (or the primary metric) against the amount of context, its blur, and the blur of the object."""
    return lambda results: [
        chart for task in reporting.tasks_of(results) for curve in _AXES if (chart := _chart(results, task, curve)) is not None
    ]


def _chart(results: Results, task: Task, curve: str) -> Chart | None:
    steps = [c for c in results.conditions(task, "intervention") if c.curve == curve and c.severity is not None]
    if not steps:
        return None
    # whole context comes after the most of it, a sharp picture before the least blur
    ordered = sorted(steps, key=lambda c: c.severity or 0.0)
    names = results.metrics(task)
    metric = "object-recall" if "object-recall" in names else names[0]
    notes = Footnotes()
    rows = [
        _point(results, group, condition, place, metric, notes)
        for group in reporting.groups_of(results, task)
        for place, condition in enumerate(_with_clean(ordered, curve))
    ]
    axis, whole = _AXES[curve]
    columns = ["model", "level", "place", "value", "low", "high", "n", "excluded"]
    frame = pandas.DataFrame(rows, columns=columns).astype({"value": float, "low": float, "high": float})
    row = results.metric_row(task, metric)
    frame["level"] = frame["level"].fillna(whole)

    def draw(axes: Axes, part: pandas.DataFrame) -> None:
        _draw(axes, part, axis, row)

    said = " Images whose box would grow beyond them are left out, so that levels are of different images."
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} against the {axis}. Bands are 95 % intervals; n is in the csv."
        f"{said if curve == 'context shown' else ''}"
    )
    return Chart(
        frame=frame,
        draw=draw,
        caption=caption,
        label=f"{curve.replace(' ', '-')}-{task}",
        notes=notes.notes,
        task=task,
        title=curve.capitalize(),
    )


def _with_clean(steps: list[Condition], curve: str) -> list[Condition | None]:
    return [*steps, None] if curve == "context shown" else [None, *steps]


def _point(results: Results, group: Group, condition: Condition | None, place: int, metric: str, notes: Footnotes) -> tuple[object, ...]:
    name = results.conditions(group.task, "clean")[0].name if condition is None else condition.name
    e = reporting.metric_cell(results, group, name, metric, notes).estimate
    level = None if condition is None else f"{condition.severity:g}"
    return reporting.title_of(group), level, place, e.value, e.low, e.high, e.n, e.excluded


def _draw(axes: Axes, frame: pandas.DataFrame, axis: str, metric: MetricRow) -> None:
    """A line for each model over the levels at equal distances."""
    models = list(dict.fromkeys(frame["model"]))
    hues, ends = colours(models), []
    for model in models:
        line = frame[(frame["model"] == model) & frame["value"].notna()]
        if line.empty:
            continue
        axes.fill_between(line["place"], line["low"], line["high"], color=hues[model], alpha=0.14, linewidth=0)
        axes.plot(line["place"], line["value"], "-o", color=hues[model], clip_on=False)
        last = line.iloc[-1]
        ends.append((float(last["place"]), float(last["value"]), model, hues[model]))
    if not ends:
        say(axes, "every number here is blocked or undefined")
    levels = frame.drop_duplicates("place").sort_values("place")
    axes.set_xticks(levels["place"].to_list(), levels["level"].to_list())
    axes.set_xlim(0, max(1, int(levels["place"].max())))
    axes.set_xlabel(axis)
    axes.set_ylabel(metric.name)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    value_axis(axes.yaxis, axes.set_ylim, metric)
    label_ends(axes, ends)
