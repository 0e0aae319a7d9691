"""How much of the context, or of the object, a model needs: recall as either is shown in part, blurred (Zhang et al.) or turned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.interventions.context_facts import Experiment
from robustbench_cv.metrics.object_recall import NAME as OBJECT_RECALL
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import Curve, curves_of
from robustbench_cv.rendering.figures import Chart, colours, label_ends, say, value_axis
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Footnotes
from robustbench_cv.results import Group, MetricRow, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXES: dict[Experiment, tuple[str, str]] = {
    "show-context": ("area of the context shown, in areas of the object's box", "whole"),
    "blur-context": ("blur of the context: Gaussian sigma, px at a shorter side of 224 px", "sharp"),
    "blur-object": ("blur of the object: Gaussian sigma, px at a shorter side of 224 px", "sharp"),
    "turn-object": ("degrees by which objects are turned towards showing their front", "0"),
}
"""Of each experiment: what its levels are, and what the unedited image is called among them."""

_TITLES: dict[Experiment, str] = {
    "show-context": "Amount of context",
    "blur-context": "Blurred context",
    "blur-object": "Blurred object",
    "turn-object": "Turned objects",
}


@report(paper="arXiv:1911.07349")
def context_curves() -> Report:
    """Recall of the objects (or the primary metric) against the amount of context, its blur, the blur of the object and its turn."""
    return lambda results: [
        _chart(results, task, experiment, curve, k)
        for task in reporting.tasks_of(results)
        for experiment in _AXES
        for k, curve in enumerate(curves_of(results, task, experiment))
    ]


def _chart(results: Results, task: Task, experiment: Experiment, curve: Curve, k: int) -> Chart:
    names = results.metrics(task)
    metric = OBJECT_RECALL if OBJECT_RECALL in names else names[0]
    notes = Footnotes()
    rows = [
        _point(results, group, step, place, metric, notes)
        for group in reporting.groups_of(results, task)
        for place, step in enumerate(_with_clean(curve.steps, experiment))
    ]
    axis, whole = _AXES[experiment]
    columns = ["model", "level", "place", "value", "low", "high", "n", "excluded"]
    frame = pandas.DataFrame(rows, columns=columns).astype({"value": float, "low": float, "high": float})
    row = results.metric_row(task, metric)
    frame["level"] = frame["level"].fillna(whole)

    def draw(axes: Axes, part: pandas.DataFrame) -> None:
        _draw(axes, part, axis, row)

    said = " Images whose box would grow beyond them are left out, so that levels are of different images."
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} against the {axis}. Bands are 95 % intervals; n is in the csv."
        f"{said if experiment == 'show-context' else ''}"
    )
    return Chart(
        frame=frame,
        draw=draw,
        caption=caption,
        label=f"{experiment}-{task}{f'-{k}' if k else ''}",
        notes=notes.notes,
        task=task,
        title=_TITLES[experiment],
    )


Step = tuple[float, Condition]


def _with_clean(steps: list[Step], experiment: Experiment) -> list[Step | None]:
    """The whole context comes after the most of it, a sharp picture before the least blur, an unturned object at 0 degrees: None."""
    if experiment == "show-context":
        return [*steps, None]
    return [*(step for step in steps if step[0] < 0), None, *(step for step in steps if step[0] >= 0)]


def _point(results: Results, group: Group, step: Step | None, place: int, metric: str, notes: Footnotes) -> tuple[object, ...]:
    name = results.conditions(group.task, "clean")[0].name if step is None else step[1].name
    e = reporting.metric_cell(results, group, name, metric, notes).estimate
    return reporting.short_title(results, group), None if step is None else f"{step[0]:g}", place, e.value, e.low, e.high, e.n, e.excluded


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
