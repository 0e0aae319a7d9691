"""Which classes are lost: the number of every class under each condition, as a heat map, and where each class falls furthest."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy
import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.figures import NOTHING, Chart, say, wrap_label
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METRICS: dict[Task, str] = {"classification": "class-object-recall", "segmentation": "class-iou", "detection": "class-ap"}
_NAMES: dict[Task, str] = {"classification": "accuracy", "segmentation": "IoU", "detection": "AP"}
_COLUMNS = ("model", "dataset", "condition", "class", "value", "low", "high", "n")

MOST_CLASSES = 24
"""In a heat map, and rows of a model in the table: the first ones that the data hold."""


@report()
def by_class() -> Report:
    """The primary number of each class under each condition: IoU of segmenters, AP of detectors, accuracy of classifiers.

    Of classifiers where the track measures `object-recall`, which keeps the classes; of each corruption the most severe step alone.
    """
    return lambda results: [item for task in reporting.tasks_of(results) if _is_measured(results, task) for item in _items(results, task)]


def _is_measured(results: Results, task: Task) -> bool:
    group = next(iter(reporting.groups_of(results, task)), None)
    if group is None or not results.conditions(task, "clean"):
        return False
    key = results.metric(group, _metric(task, results.model_row(group).classes[0])).evidence_key
    return key in {m.evidence_key for m in results.run.metrics(task)}


def _metric(task: Task, name: str) -> str:
    return f"{_METRICS[task]}(of={name!r})"


def _items(results: Results, task: Task) -> list[Item]:
    groups = reporting.groups_of(results, task)
    return [*(_chart(results, group) for group in groups), _table(results, task, groups)]


def _classes(results: Results, group: Group) -> list[str]:
    """Those that the clean images hold, as the model lists them."""
    clean = results.conditions(group.task, "clean")[0].name
    names = results.model_row(group).classes
    held = [name for name in names if results.estimate(group, clean, _metric(group.task, name)).value is not None]
    return held[:MOST_CLASSES]


def _conditions(results: Results, task: Task) -> list[str]:
    """Conditions that ask for the objects that are in the image: neither placebos nor removals."""
    every = reporting.most_severe(results, task)
    return [c.name for c in every if c.kind != "control" and not reporting.is_removal(results, task, c)]


def _chart(results: Results, group: Group) -> Chart:
    notes, rows = Footnotes(), []
    for name in _classes(results, group):
        for condition in _conditions(results, group.task):
            e = reporting.metric_cell(results, group, condition, _metric(group.task, name), notes).estimate
            rows.append((group.model, group.dataset, condition, name, e.value, e.low, e.high, e.n))
    frame = pandas.DataFrame(rows, columns=list(_COLUMNS)).astype({"value": float, "low": float, "high": float})
    title, number = reporting.title_of(group), _NAMES[group.task]
    sides = frame["class"].nunique(), frame["condition"].nunique()
    return Chart(
        frame=frame,
        draw=functools.partial(_draw, number),
        caption=f"{reporting.TASK_TITLES[group.task]}: {number} of each class of {title} under each condition, in percent.",
        label=f"by-class-{group.task}-{slug(title)}",
        notes=tuple(note for note in notes.notes if note[0] in "†‡§¶"),
        task=group.task,
        title=f"By class: {title}",
        size=(2.4 + 0.5 * sides[0], 1.3 + 0.27 * sides[1]),
    )


def _draw(number: str, axes: Axes, frame: pandas.DataFrame) -> None:
    """A square for each class and condition, darker the more of it is lost."""
    if frame.empty or not frame["value"].notna().any():
        say(axes, NOTHING)
        return
    classes, conditions = list(dict.fromkeys(frame["class"])), list(dict.fromkeys(frame["condition"]))
    values = numpy.full((len(conditions), len(classes)), numpy.nan)
    for row in frame.itertuples(index=False):
        values[conditions.index(row[2]), classes.index(row[3])] = row[4]
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for (y, x), value in numpy.ndenumerate(values):
        if numpy.isfinite(value):
            axes.text(x, y, f"{100 * value:.0f}", ha="center", va="center", fontsize=7.5, color="white" if value > 0.7 else "black")
    axes.set_xticks(range(len(classes)), [wrap_label(name, 16) for name in classes], rotation=40, ha="right")
    axes.set_yticks(range(len(conditions)), [wrap_label(name) for name in conditions])
    axes.set_xlabel(f"{number} by class, %")


def _table(results: Results, task: Task, groups: list[Group]) -> Table:
    notes, rows = Footnotes(), list[list[Cell]]()
    for group in groups:
        rows += [_row(results, group, name, notes) for name in _classes(results, group)]
    caption = (
        f"{reporting.TASK_TITLES[task]}: {_NAMES[task]} of each class on the unedited images, and under the condition that leaves "
        "least of it; 95 % intervals."
    )
    columns = ["model", "class", "clean", "lowest", "under", "n"]
    return Table(cells_of(columns, rows), caption, f"by-class-{task}", notes.notes, task, blocks="model", title="By class")


def _row(results: Results, group: Group, name: str, notes: Footnotes) -> list[Cell]:
    clean, *others = _conditions(results, group.task)
    metric = _metric(group.task, name)
    shown = reporting.metric_cell(results, group, clean, metric, notes)
    values = {other: results.estimate(group, other, metric).value for other in others}
    known = [other for other in others if values[other] is not None]
    least: Number | None = None
    under = min(known, key=lambda other: values[other] or 0.0) if known else None
    if under is not None:
        least = reporting.metric_cell(results, group, under, metric, notes)
    return [reporting.title_of(group), name, shown, least, under, shown.estimate.n]
