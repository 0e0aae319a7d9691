"""What attacks took and left: sizes, looks and queries of the images that broke, and the distances that unbounded attacks measure."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy
import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.score_intervals import wilson
from robustbench_cv.rendering import reporting
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

_QUANTILES = (0.1, 0.5, 0.9)
_COLUMNS = ("model", "dataset", "condition", "distance", "value", "low", "high", "n")


@report()
def perturbations() -> Report:
    """A table of sizes, structural similarity and passes of the broken images; for attacks without a bound, who survives which distance."""

    def make(results: Results) -> list[Item]:
        items: list[Item] = []
        for task in reporting.tasks_of(results):
            if results.conditions(task, "attack"):
                items += [_table(results, task), *_distances(results, task)]
        return items

    return make


def _table(results: Results, task: Task) -> Table:
    notes = Footnotes()
    columns: list[str | tuple[str, str]] = ["model", "condition", "budget", "broken", "tried"]
    columns += [(what, which) for what in ("size", "SSIM", "forwards", "backwards") for which in ("10th", "median", "90th")]
    rows: list[list[Cell]] = []
    for group in reporting.groups_of(results, task):
        for condition in results.conditions(task, "attack"):
            rows.append([reporting.title_of(group), *_row(results, group, condition, notes)])
    caption = (
        f"{reporting.TASK_TITLES[task]}: the images that each attack broke, at the 10th, 50th and 90th percentile of their perturbations. "
        "Size is in the attack's own norm; SSIM is 1 for an image left as it was; forwards and backwards are passes through the model."
    )
    return Table(cells_of(columns, rows), caption, f"perturbations-{task}", notes.notes, task, blocks="model", title="Perturbations")


def _row(results: Results, group: Group, condition: Condition, notes: Footnotes) -> list[Cell]:
    blocked = results.stop_reason(group, condition.name)
    traces = results.traces(group, condition.name)
    if blocked or traces.empty:
        mark = notes.warning(f"blocked by {blocked}") if blocked else notes.remark("this attack was tried on no sample.")
        return [f"{condition.name}{mark}", *[None] * (3 + 4 * len(_QUANTILES))]
    broken = traces[traces["success"].astype(bool)]
    bound = reporting.budget_of(results.facts(group.task, condition.name).attack)
    cells: list[Cell] = [condition.name, bound, len(broken), len(traces)]
    for name in ("size", "ssim", "forwards", "backwards"):
        values = broken[name].dropna().astype(float)
        cells += [None] * len(_QUANTILES) if values.empty else [f"{v:.4g}" for v in numpy.quantile(values, _QUANTILES)]
    return cells


def _is_unbounded(traces: pandas.DataFrame) -> bool:
    return all(radius is None or not math.isfinite(radius) for radius in traces["radius"])


def _distances(results: Results, task: Task) -> list[Chart]:
    """One chart for each attack that measures distances, since distances in two norms have no common axis."""
    charts = []
    for condition in results.conditions(task, "attack"):
        notes = Footnotes()
        frames = [_survivors(results, group, condition, notes) for group in reporting.groups_of(results, task)]
        frame = pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame(columns=list(_COLUMNS))
        if frame.empty:
            continue
        caption = (
            f"{reporting.TASK_TITLES[task]}: share of the samples that no perturbation found by {condition.name} breaks within a distance, "
            "in the attack's own norm: an upper bound of the robust share. Bands are 95 % intervals."
        )
        draw = functools.partial(_draw, condition.name)
        label = f"distances-{task}-{slug(condition.name)}"
        charts.append(
            Chart(
                frame=frame,
                draw=draw,
                caption=caption,
                label=label,
                notes=notes.notes,
                task=task,
                title=f"Distance to the boundary: {condition.name}",
            )
        )
    return charts


def _survivors(results: Results, group: Group, condition: Condition, notes: Footnotes) -> pandas.DataFrame:
    """The share left at each distance that broke a sample; no rows for an attack with a bound; one without numbers where blocked."""
    traces = results.traces(group, condition.name)
    if traces.empty or not _is_unbounded(traces):
        return pandas.DataFrame(columns=list(_COLUMNS))
    head = (group.model, group.dataset, condition.name)
    if results.stop_reason(group, condition.name):
        reporting.metric_cell(results, group, condition.name, results.metrics(group.task)[0], notes)
        return pandas.DataFrame([(*head, 0.0, numpy.nan, numpy.nan, numpy.nan, 0)], columns=list(_COLUMNS))
    n = len(traces)
    sizes = sorted(traces.loc[traces["success"].astype(bool), "size"].astype(float))
    rows = []
    for distance in (0.0, *sorted({s for s in sizes if s > 0})):
        left = sum(s > distance for s in sizes) + n - len(sizes)
        rows.append((*head, distance, left / n, *wilson(left, n), n))
    return pandas.DataFrame(rows, columns=list(_COLUMNS))


def _draw(name: str, axes: Axes, frame: pandas.DataFrame) -> None:
    keys = list(dict.fromkeys(zip(frame["model"], frame["dataset"], strict=True)))
    hues, ends = colours([str(key) for key in keys]), []
    for model, dataset in keys:
        line = frame[(frame["model"] == model) & (frame["dataset"] == dataset) & frame["value"].notna()]
        if line.empty:
            continue
        hue = hues[str((model, dataset))]
        axes.fill_between(line["distance"], line["low"], line["high"], step="post", color=hue, alpha=0.14, linewidth=0)
        axes.plot(line["distance"], line["value"], drawstyle="steps-post", color=hue)
        several = frame["dataset"].nunique() > 1
        ends.append((float(line["distance"].iloc[-1]), float(line["value"].iloc[-1]), f"{model} · {dataset}" if several else model, hue))
    if not ends:
        say(axes, NOTHING)
    axes.set_xlabel(f"distance found by {name}")
    axes.set_ylabel("not broken within")
    axes.set_xlim(left=0)
    axes.set_ylim(-0.02, 1.02)
    percent_axis(axes.yaxis)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    label_ends(axes, ends)
