"""A metric against how strong a condition is: the frame and the drawing that budget and occlusion curves share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas

from robustbench_cv.palette import PAPER
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.figures import NOTHING, Chart, label_ends, line_styles, percent_axis, say, value_axis
from robustbench_cv.rendering.table_cells import Footnotes
from robustbench_cv.results import Group, MetricRow, Results
from robustbench_cv.suite import Condition, Kind
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("model", "dataset", "series", "placebo", "condition", "x", "value", "low", "high", "n", "excluded")


def curve_frame(results: Results, task: Task, kind: Kind, notes: Footnotes, curves: Collection[str] = ()) -> pandas.DataFrame:
    """Points of every curve of a kind: the conditions that share a `curve` and have a `severity`, their controls, and clean at 0.

    curves: of these alone, where any is named.

    Columns: model, dataset, series, placebo, condition, x, value, low, high (0-1, missing where blocked or undefined), n, excluded.
    """
    rows = []
    for group in reporting.groups_of(results, task):
        named = dict.fromkeys(c.curve for c in results.conditions(task, kind) if c.curve and c.severity is not None)
        for curve in [name for name in named if name and (name in curves or not curves)]:
            members = [c for c in results.conditions(task, kind) if c.curve == curve and c.severity is not None]
            controls = [k for k in results.conditions(task, "control") for c in members if k.control_of == c.name]
            strength = {c.name: float(c.severity or 0) for c in members}
            for part in (members, controls):
                clean = results.conditions(task, "clean")[:1] if part else []
                for condition in (*clean, *part):
                    x = strength.get(condition.control_of or condition.name, 0.0)
                    rows.append(_point(results, group, condition, curve, x, notes, placebo=part is controls))
    frame = pandas.DataFrame(rows, columns=list(_COLUMNS)).astype({"x": float, "value": float, "low": float, "high": float})
    return frame.sort_values(["model", "dataset", "series", "placebo", "x"], kind="stable", ignore_index=True)


def _point(
    results: Results, group: Group, condition: Condition, curve: str, x: float, notes: Footnotes, *, placebo: bool
) -> tuple[object, ...]:
    e = reporting.metric_cell(results, group, condition.name, results.metrics(group.task)[0], notes).estimate
    return group.model, group.dataset, curve, placebo, condition.name, x, e.value, e.low, e.high, e.n, e.excluded


MOST_LINES = 12
"""In one chart, where it can be split: the labels of more do not fit beside it."""


def curve_charts(
    results: Results, task: Task, kind: Kind, label: str, title: str, caption: str, axis: str, curves: Collection[str] = ()
) -> list[Chart]:
    """A task's curves of one kind in one chart, or in one for each series where there are many; none where the suite has no curve.

    axis: the x axis's name. curves: of these alone, where any is named.
    """
    notes = Footnotes()
    frame = curve_frame(results, task, kind, notes, curves)
    said = reporting.scoring_note(results, task) if kind == "intervention" else ()
    if frame.empty:
        return []
    metric = results.metrics(task)[0]
    series = list(dict.fromkeys(frame["series"]))
    text = f"{reporting.TASK_TITLES[task]}: {metric} against {caption} Bands are 95 % intervals; the point at 0 is the clean image."

    names = [c.curve for c in results.conditions(task, kind) if c.curve and c.severity is not None]
    look = _Look(reporting.model_hues(results, task), line_styles(names))
    scale = _Scale(results.metric_row(task, metric), axis, _abscissa(results, task, kind))

    def draw(axes: Axes, part: pandas.DataFrame) -> None:
        _draw_curves(axes, part, scale, look)

    lines = len(frame[["model", "dataset", "series", "placebo"]].drop_duplicates())
    if lines <= MOST_LINES or len(series) == 1:
        return [Chart(frame=frame, draw=draw, caption=text, label=f"{label}-{task}", notes=(*notes.notes, *said), task=task, title=title)]
    parts = {name: frame[frame["series"] == name].reset_index(drop=True) for name in series}
    every = (*notes.notes, *said)
    return [
        Chart(frame=part, draw=draw, caption=text, label=f"{label}-{task}-{slug(name)}", notes=every, task=task, title=f"{title}: {name}")
        for name, part in parts.items()
    ]


@dataclass(frozen=True)
class _Look:
    """Colours by model, lines by series."""

    hues: Mapping[str, str]
    lines: Mapping[str, Any]


@dataclass(frozen=True)
class _Scale:
    """What the axes measure. metric: the y axis's; axis: the x axis's name; abscissa: its unit."""

    metric: MetricRow
    axis: str
    abscissa: Literal["grey levels", "share", "plain"]


def _abscissa(results: Results, task: Task, kind: Kind) -> Literal["grey levels", "share", "plain"]:
    """The unit of a kind's severities: shares of an object where it is covered, grey levels where all attacks are bounded in L-infinity."""
    if kind != "attack":
        return "share"
    norms = {f.norm for c in results.conditions(task, kind) if c.curve and (f := results.facts(task, c.name).attack) is not None}
    return "grey levels" if norms == {"linf"} else "plain"


def _draw_curves(axes: Axes, frame: pandas.DataFrame, scale: _Scale, look: _Look) -> None:
    """Lines with bands, named at their ends: a colour for each model, a line for each series; placebos pale, with open points."""
    keys = list(dict.fromkeys(zip(frame["model"], frame["dataset"], frame["series"], strict=True)))
    ends = []
    for key in keys:
        part = frame[(frame["model"] == key[0]) & (frame["dataset"] == key[1]) & (frame["series"] == key[2])]
        for placebo, line in part[part["value"].notna()].groupby("placebo", sort=True):
            hue, dash = look.hues[str(key[0])], look.lines[str(key[2])]
            axes.fill_between(line["x"], line["low"], line["high"], color=hue, alpha=0.08 if placebo else 0.16, linewidth=0)
            point, pale = (PAPER, 0.55) if placebo else (hue, 1.0)
            axes.plot(line["x"], line["value"], "o", color=hue, linestyle=dash, markerfacecolor=point, alpha=pale, clip_on=False)
            last = line.iloc[-1]
            ends.append((float(last["x"]), float(last["value"]), _name(key, frame, placebo=bool(placebo)), hue))
    if not ends:
        say(axes, NOTHING)
    axes.set_xlabel(scale.axis)
    axes.set_ylabel(scale.metric.words)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    _fit_axes(axes, frame, scale)
    label_ends(axes, ends)


def _name(key: tuple[str, str, str], frame: pandas.DataFrame, *, placebo: bool) -> str:
    """As much of model, data set and series as tells the lines of this chart apart."""
    columns = ("model", "dataset", "series")
    parts = [part for part, column in zip(key, columns, strict=True) if column == "model" or frame[column].nunique() > 1]
    return " · ".join(parts) + (", control" if placebo else "")


def _fit_axes(axes: Axes, frame: pandas.DataFrame, scale: _Scale) -> None:
    value_axis(axes.yaxis, axes.set_ylim, scale.metric)
    budgets = sorted(set(frame["x"]))
    axes.set_xlim(0, budgets[-1] * 1.02 or 1)
    if scale.abscissa == "grey levels" and reporting.in_grey_levels(budgets):
        axes.set_xticks(budgets, [reporting.budget_text(x).removesuffix("/255") for x in budgets])
        axes.set_xlabel(f"{axes.get_xlabel()}, in 1/255 of the pixel range")
    elif scale.abscissa == "share":
        percent_axis(axes.xaxis)
