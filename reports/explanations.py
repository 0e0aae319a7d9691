"""Which models look at the object: how much of the relevance of their answers lies on it, by each method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.palette import PALETTE
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.figures import Chart, say
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import ExplanationRow, Group, Results
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ON_THE_OBJECT = ("model", "method", "accuracy", "relevance mass", "area share", "mass − area", "Clever Hans", "n")
_OF_THE_MAPS = ("model", "method", "relevance rank", "pointing game", "by chance", "insertion", "deletion")

_WHAT = (
    "Explained is the model's own answer about the main object of a sample. Relevance mass: share of the positive relevance inside the "
    "object's mask; area share: what a map that is the same everywhere would have. Mass and area are of right answers."
)
_CLEVER_HANS = (
    "Clever Hans: classes that are right in more than 80 % while their mass is less than 5 points above the area share, with 0 or less in "
    "the interval of the difference. A flag judges one method's maps: see what another method says of the class."
)
_MAPS = (
    "Relevance rank: of the most relevant pixels, as many as the object has, the share on it; pointing game: the maximum lies on the "
    "object or near it; by chance: a maximum that falls anywhere would (all of right answers). Insertion, deletion: area under the "
    "probability while the most relevant pixels are put in, or taken out; high insertion and low deletion speak for the maps."
)


@report(paper="doi:10.1038/s41467-019-08987-4")
def explanations() -> Report:
    """Relevance mass, rank, pointing game, insertion and deletion of every model, by method, and the classes flagged as Clever Hans."""
    return lambda results: [item for task in reporting.tasks_of(results) for item in _items(results, task)]


def _items(results: Results, task: Task) -> list[Item]:
    rows = [(group, row) for group in reporting.groups_of(results, task) for row in results.explanations(group)]
    drawn = [(group, row) for group, row in rows if not results.stop_reason(group, results.conditions(task, "clean")[0].name)]
    return [_chart(task, drawn), _on_the_object(results, task, rows), _of_the_maps(results, task, rows)] if rows else []


def _on_the_object(results: Results, task: Task, rows: list[tuple[Group, ExplanationRow]]) -> Table:
    notes = Footnotes()
    shown = []
    for group, row in rows:
        if row.label == "":
            *numbers, excess = _numbers(results, group, row, (row.accuracy, row.relevance_mass, row.area, row.excess), notes)
            flagged = ", ".join(_flagged(rows, group, row.method)) or "none"
            why = notes.remark(f"{reporting.title_of(group)}, {row.method}: {row.note}.") if row.note else ""
            shown.append([*_head(group, row), *numbers, reporting.signed(excess), f"–{why}" if why else flagged, row.n])
    caption = f"{reporting.TASK_TITLES[task]}: where the answers come from; 95 % intervals. {_WHAT}"
    made, title = cells_of(_ON_THE_OBJECT, shown), "Where the answers come from"
    return Table(made, caption, f"explanations-{task}", (*notes.notes, _CLEVER_HANS), task, blocks="model", title=title)


def _of_the_maps(results: Results, task: Task, rows: list[tuple[Group, ExplanationRow]]) -> Table:
    notes = Footnotes()
    shown: list[list[Cell]] = [
        [
            *_head(group, row),
            *_numbers(
                results, group, row, (row.relevance_rank, row.pointing_game, row.pointing_chance, row.insertion, row.deletion), notes
            ),
        ]
        for group, row in rows
        if row.label == "" and not row.note
    ]
    caption = f"{reporting.TASK_TITLES[task]}: what the maps are worth; 95 % intervals. {_MAPS}"
    made, title = cells_of(_OF_THE_MAPS, shown), "What the maps are worth"
    return Table(made, caption, f"explanation-maps-{task}", notes.notes, task, blocks="model", title=title)


def _head(group: Group, row: ExplanationRow) -> list[Cell]:
    return [reporting.title_of(group), row.method]


def _numbers(results: Results, group: Group, row: ExplanationRow, numbers: Sequence[Estimate], notes: Footnotes) -> list[Number]:
    clean = [results.conditions(group.task, "clean")[0].name]
    return [Number(e) if row.note else reporting.estimate_cell(results, group, clean, "rate", e, notes) for e in numbers]


def _flagged(rows: list[tuple[Group, ExplanationRow]], group: Group, method: str) -> list[str]:
    return [f"{r.label} (n = {r.n})" for g, r in rows if g == group and r.method == method and r.label and r.clever_hans == "flagged"]


def _chart(task: Task, rows: list[tuple[Group, ExplanationRow]]) -> Chart:
    numbers = [
        (reporting.title_of(group), row.method, row.excess.value, row.excess.low, row.excess.high, row.excess.n)
        for group, row in rows
        if row.label == "" and row.excess.value is not None
    ]
    frame = pandas.DataFrame(numbers, columns=["model", "method", "mass − area", "low", "high", "n"])
    return Chart(
        frame=frame,
        draw=_draw,
        caption=f"{reporting.TASK_TITLES[task]}: relevance mass on the object less its share of the area, in points of percent, with 95 % "
        "intervals; 0 is a map that does not know of the object.",
        label=f"explanations-chart-{task}",
        task=task,
        title="Which models look at the object",
        size=(6.4, 1.2 + 0.3 * max(2, len(frame))),
    )


def _draw(axes: Axes, frame: pandas.DataFrame) -> None:
    """A point with its interval for each model and method, models by colour, from the top."""
    if frame.empty:
        say(axes, "no answer here could be explained")
        return
    models = list(dict.fromkeys(frame["model"]))
    for k, row in enumerate(frame.itertuples(index=False)):
        colour = PALETTE[models.index(row[0]) % len(PALETTE)]
        value, low, high = (100 * float(v) if v is not None else float("nan") for v in (row[2], row[3], row[4]))
        axes.plot([low, high], [k, k], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([value], [k], "o", color=colour, markersize=5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(frame)), [f"{row[0]} · {row[1]}" for row in frame.itertuples(index=False)])
    axes.set_ylim(len(frame) - 0.5, -0.5)
    axes.set_xlabel("relevance mass − area share, points")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
