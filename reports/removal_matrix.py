"""Removing one class, what happens to the others: the matrix of Shetty, Schiele, Fritz, as a table and as a heat map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy
import pandas

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.context_results import ClassEffect
from robustbench_cv.metrics.removal_response import CHANGES, FEWEST, LEAST_IOU
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import facts_of
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.figures import Chart, points
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("model", "removed", "changed", "effect", "control's effect", "effect − control", "n")

_SCORES = ("model", "removed", "changed", "effect on the score", "control's effect", "effect − control", "n")

_AFFECTED: tuple[str | tuple[str, str], ...] = (
    "model",
    "removed",
    "changed",
    "edit",
    *(("images that change", f"by > {change:.2f}") for change in CHANGES),
    "lost share",
    "n",
)

_METRIC = {"segmentation": "intersection over union", "detection": "recall at the operating score"}

_SCORE = "score (of the most confident box of its class at IoU 0.5 to an object, 0 where there is none)"

MOST_ROWS = 20
"""Pairs of a table, those with the largest effects: the heat map and the csv beside it hold all."""


@report(paper="arXiv:1812.06707")
def removal_matrix() -> Report:
    """By how much removing each class changes each other one, less what the placebo changes (segmenters and detectors)."""
    return lambda results: [item for task in reporting.tasks_of(results) for item in _items(results, task)]


def _items(results: Results, task: Task) -> list[Item]:
    items: list[Item] = []
    for method, conditions in _by_fill(results, task).items():
        for k, group in enumerate(reporting.groups_of(results, task)):
            matrix = context_results.matrix(results, group, conditions, FEWEST)
            if matrix:
                label = f"{task}-{k}-{slug(method)}"
                items += [_heat_map(group, method, matrix, label), _table(results, group, method, conditions, matrix, label)]
                items += _more(results, group, method, conditions, matrix, label)
    return items


def _by_fill(results: Results, task: Task) -> dict[str, list[str]]:
    """The removals of one class from each image, with a placebo, by their fill."""
    found: dict[str, list[str]] = {}
    for condition in results.conditions(task, "intervention"):
        facts = facts_of(results, task, condition)
        if facts is None or facts.experiment != "remove-object" or facts.choice.scope == "objects":
            continue
        if results.controls(task, condition.name):
            found.setdefault(facts.method, []).append(condition.name)
    return found


def _more(results: Results, group: Group, method: str, conditions: list[str], matrix: list[ClassEffect], label: str) -> list[Item]:
    """Of detectors the same of scores, of segmenters how many images change."""
    if group.task == "segmentation":
        return [_affected_table(results, group, method, conditions, matrix, label)]
    scores = [replace(one, effect=one.score) for one in matrix if one.score is not None]
    if not scores:
        return []
    chart = _heat_map(group, method, scores, f"scores-{label}", _SCORE, "Removing one class changes the scores of others")
    table = _table(results, group, method, conditions, scores, f"scores-{label}", _SCORE)
    return [chart, table]


def _affected_table(results: Results, group: Group, method: str, conditions: list[str], matrix: list[ClassEffect], label: str) -> Table:
    notes = Footnotes()
    rows: list[list[Cell]] = []
    for one in _largest(matrix)[:MOST_ROWS]:
        assert one.affected is not None
        every = (*one.affected.shares, one.affected.loss)
        controls = [name for name in reporting.with_controls(results, group.task, conditions) if name not in conditions]
        for edit, names in (("removal", conditions), ("control", controls)):
            numbers = [shown.removal if edit == "removal" else shown.control for shown in every]
            cells: list[Cell] = [reporting.estimate_cell(results, group, names, "rate", number, notes) for number in numbers]
            rows.append([reporting.title_of(group), one.removed, one.changed, edit, *cells, numbers[-1].n])
    caption = (
        f"{reporting.TASK_TITLES[group.task]}, {reporting.title_of(group)}, {method} fill: share of the images whose own intersection over "
        "union of the changed class moves by more than a threshold, either way, when the other is removed, and the mean share of it that "
        f"is lost (of at least {LEAST_IOU:g}; negative where it rises), each beside the placebo's; of the pairs above."
    )
    return Table(
        cells_of(_AFFECTED, rows),
        caption,
        f"removal-matrix-affected-{label}",
        notes.notes,
        group.task,
        blocks="model",
        title="Images that change",
    )


def _caption(group: Group, method: str, metric: str) -> str:
    return (
        f"{reporting.TASK_TITLES[group.task]}, {reporting.title_of(group)}, {method} fill: change of the {metric} of a class "
        f"when another is removed, less the placebo's, over what the edit left alone; of pairs with {FEWEST} images or more."
    )


def _largest(matrix: list[ClassEffect]) -> list[ClassEffect]:
    """Largest effects first, whatever their sign."""
    return sorted(matrix, key=lambda one: -abs(_net(one)) if not numpy.isnan(_net(one)) else 1.0)


def _table(
    results: Results, group: Group, method: str, conditions: list[str], matrix: list[ClassEffect], label: str, score: str = ""
) -> Table:
    """score: what is meant by it, where the effects are on scores."""
    notes = Footnotes()
    names = reporting.with_controls(results, group.task, conditions)
    rows: list[list[Cell]] = []
    for one in _largest(matrix)[:MOST_ROWS]:
        sides = (one.effect.effect, one.effect.control, one.effect.difference)
        cells = [None if e is None else reporting.estimate_cell(results, group, names, "rate", e, notes) for e in sides]
        signed: list[Cell] = [c and reporting.signed(c) for c in cells]
        rows.append([reporting.title_of(group), one.removed, one.changed, *signed, one.effect.effect.n])
    more = () if len(matrix) <= MOST_ROWS else (f"The {MOST_ROWS} largest of {len(matrix)} pairs; the heat map has all.",)
    many = len(matrix)
    chance = f"{many} intervals at 95 % stand here: about {max(1, round(0.05 * many))} of them would miss 0 by chance alone."
    every = (*notes.notes, *more, chance)
    return Table(
        cells_of(_SCORES if score else _COLUMNS, rows),
        _caption(group, method, score or _METRIC[group.task]),
        f"removal-matrix-{label}",
        every,
        group.task,
        blocks="model",
        title="Removing one class: scores" if score else "Removing one class",
    )


def _net(one: ClassEffect) -> float:
    difference = one.effect.difference
    return float("nan") if difference is None or difference.value is None else difference.value


def _heat_map(
    group: Group, method: str, matrix: list[ClassEffect], label: str, metric: str = "", title: str = "Removing one class changes the others"
) -> Chart:
    rows = [
        (one.removed, one.changed, _net(one), one.effect.effect.n, _tells(one))
        for one in sorted(matrix, key=lambda one: (one.removed, one.changed))
    ]
    frame = pandas.DataFrame(rows, columns=["removed", "changed", "effect less control", "n", "interval misses 0"])
    sides = frame["removed"].nunique(), frame["changed"].nunique()
    return Chart(
        frame=frame,
        draw=_draw,
        caption=f"{_caption(group, method, metric or _METRIC[group.task])} Points of percent; bold where the 95 % interval misses 0; "
        "blank: fewer images.",
        label=f"removal-matrix-chart-{label}",
        task=group.task,
        title=title,
        size=(2.2 + 0.42 * sides[1], 1.4 + 0.32 * sides[0]),
    )


def _tells(one: ClassEffect) -> bool:
    e = one.effect.difference
    return e is not None and e.low is not None and e.high is not None and not e.low <= 0 <= e.high


def _draw(axes: Axes, frame: pandas.DataFrame) -> None:
    """A square for each pair: blue where the other class gains, orange where it loses."""
    removed, changed = sorted(set(frame["removed"])), sorted(set(frame["changed"]))
    values = numpy.full((len(removed), len(changed)), numpy.nan)
    for row in frame.itertuples(index=False):
        values[removed.index(row[0]), changed.index(row[1])] = row[2]
    finite = numpy.abs(values[numpy.isfinite(values)])
    limit = max(0.01, float(finite.max())) if len(finite) else 0.01
    axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    for row in frame.itertuples(index=False):
        value = float(row[2])
        if numpy.isfinite(value):
            colour = "white" if abs(value) > 0.6 * limit else "black"
            at = changed.index(row[1]), removed.index(row[0])
            text = f"{100 * value:+.{0 if limit > 0.1 else 1}f}".replace("-", "−")
            axes.text(*at, text, ha="center", va="center", fontsize=points(7), color=colour, fontweight="bold" if row[4] else "normal")
    axes.set_xticks(range(len(changed)), changed, rotation=45, ha="right")
    axes.set_yticks(range(len(removed)), removed)
    axes.set_xlabel("changed class")
    axes.set_ylabel("removed class")
