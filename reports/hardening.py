"""Before and after hardening: what a model gained out of context, what it lost in context, and whether that is what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas

from robustbench_cv import context_results
from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import report
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.verdicts import Verdict, at_least, every
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import EditPair, edit_pairs
from robustbench_cv.rendering.figures import NOTHING, Chart, colours, label_ends, say, value_axis
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, MetricRow, Results
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("models", "number", "before", "after", "difference", "must be", "verdict", "n", "excluded")

IN, OUT = "in context", "out of context"


class Place(NamedTuple):
    """Where a model is measured. title: for a row; at_least: what the difference of two models must reach there."""

    name: str
    title: str
    dataset: str
    condition: str
    at_least: float


@report(paper="arXiv:1812.06707")
def hardening(most_lost: Fraction = 0.01, least_gained: Fraction = 0.1) -> Report:
    """The first model of a run beside each further one: in context, out of context, the paired differences, the context index, a verdict.

    In context is the first data set, out of context every further one; with one alone, its images with their contexts swapped. most_lost:
    of the primary metric in context, and least_gained: out of it, for the verdict to be that it helped. Project choices.
    """
    return lambda results: [item for task in reporting.tasks_of(results) for item in _items(results, task, most_lost, least_gained)]


def _items(results: Results, task: Task, most_lost: float, least_gained: float) -> list[Item]:
    pair, metric = _pair(results, task), results.metric_row(task, results.metrics(task)[0])
    places = _places(results, task, pair, most_lost, least_gained)
    if not places or metric.unit != "rate" or not metric.higher_is_better:
        return []
    notes = Footnotes()
    before, *others = dict.fromkeys(group.model for group in reporting.groups_of(results, task))
    compared: list[str | None] = [*others] or [None]
    rows = [row for after in compared for row in _rows(results, task, before, after, places, pair, notes)]
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric.name} before and after hardening; 95 % intervals, of differences paired by image. A "
        "requirement holds where the whole interval meets it, does not where none of it does; else it can't be told."
    )
    said = [*notes.notes, *([] if others else ["There is nothing to compare with: give the hardened model with a second --model."])]
    if pair is not None:
        edits = "exact counterfactuals" if pair.exact else f"the {pair.name} fill"
        said.append(f"Context index by {edits}, on the first data set: 0 reads objects alone, 100 contexts alone.")
    table = Table(cells_of(_COLUMNS, rows), caption, f"hardening-{task}", tuple(said), task, "models", "Before and after")
    return [table, _chart(results, task, [before, *others], places, metric)]


def _pair(results: Results, task: Task) -> EditPair | None:
    """The edits of the context index: exact counterfactuals where the data have them, else the first fill's."""
    pairs, (group, *_) = edit_pairs(results, task), reporting.groups_of(results, task)
    exact = (p for p in pairs if p.exact and context_results.reliance(results, group, p.removal, p.swap).context_index.n)
    return next(exact, pairs[0] if pairs else None)


def _places(results: Results, task: Task, pair: EditPair | None, most_lost: float, least_gained: float) -> list[Place]:
    clean = results.conditions(task, "clean")
    first, *others = dict.fromkeys(group.dataset for group in reporting.groups_of(results, task))
    if not clean:
        return []
    places = [Place(OUT, f"{OUT} ({name})", name, clean[0].name, least_gained) for name in others]
    if not places and pair is not None:
        places = [Place(OUT, f"{OUT} ({pair.swap})", first, pair.swap, least_gained)]
    return [Place(IN, f"{IN} ({first})", first, clean[0].name, -most_lost), *places] if places else []


def _rows(
    results: Results, task: Task, before: str, after: str | None, places: list[Place], pair: EditPair | None, notes: Footnotes
) -> list[list[Cell]]:
    heading = f"{after}, before: {before}" if after is not None else before
    made = [_place_row(results, task, before, after, place, notes) for place in places]
    rows: list[list[Cell]] = []
    for row, _ in made:
        rows.append([heading, *row])
    if pair is not None:
        cells = [_index(results, Group(task, model, places[0].dataset), pair, notes) for model in (before, after) if model is not None]
        n, excluded = cells[0].estimate.n, cells[0].estimate.excluded
        rows.append([heading, "context index", cells[0], cells[1] if after is not None else None, None, None, None, n, excluded])
    if after is not None:
        asked = " and ".join(f"{place.name} {_points(place.at_least)}" for place in places)
        verdicts: list[Verdict] = [verdict for _, verdict in made]
        rows.append([heading, f"together: {asked}", None, None, None, None, every(*verdicts), None, None])
    return rows


def _place_row(results: Results, task: Task, before: str, after: str | None, place: Place, notes: Footnotes) -> tuple[list[Cell], Verdict]:
    metric, groups = results.metrics(task)[0], [Group(task, model, place.dataset) for model in (before, after) if model is not None]
    shown = [reporting.metric_cell(results, group, place.condition, metric, notes) for group in groups]
    if len(groups) == 1:
        number = shown[0].estimate
        return [place.title, shown[0], None, None, None, None, number.n, number.excluded], "can't tell"
    difference = context_results.between_models(results, groups[0], groups[1], place.condition, metric)
    cell, verdict = _difference_cell(results, groups, place.condition, difference, notes), at_least(difference, place.at_least)
    return [place.title, *shown, cell, _points(place.at_least), verdict, difference.n, difference.excluded], verdict


def _difference_cell(results: Results, groups: list[Group], condition: str, difference: Estimate, notes: Footnotes) -> Number:
    """With the marks of both models; blocked where a check stops either."""
    metric = reporting.unit_of(results, groups[0].task, results.metrics(groups[0].task)[0])
    cells = [reporting.signed(reporting.estimate_cell(results, group, [condition], metric, difference, notes)) for group in groups]
    return next((cell for cell in cells if cell.blocked), max(cells, key=lambda cell: len(cell.marks)))


def _index(results: Results, group: Group, pair: EditPair, notes: Footnotes) -> Number:
    names = reporting.with_controls(results, group.task, [pair.removal, pair.swap])
    index = context_results.reliance(results, group, pair.removal, pair.swap).context_index
    return reporting.estimate_cell(results, group, names, "rate", index, notes)


def _points(bound: float) -> str:
    """ "≥ −1 point": what a difference must be."""
    points = f"{abs(100 * bound):g}"
    return f"≥ {'−' if bound < 0 else '+'}{points} point{'' if points == '1' else 's'}"


def _chart(results: Results, task: Task, models: list[str], places: list[Place], metric: MetricRow) -> Chart:
    rows = []
    for model in models:
        for place in places:
            cell = reporting.metric_cell(results, Group(task, model, place.dataset), place.condition, metric.name, Footnotes())
            e = cell.estimate
            rows.append((model, place.title, e.value, e.low, e.high))
    frame = pandas.DataFrame(rows, columns=["model", "where", "value", "low", "high"])
    frame = frame.astype({"value": float, "low": float, "high": float})
    return Chart(
        frame=frame,
        draw=lambda axes, shown: _draw(axes, shown, metric),
        caption=f"{reporting.TASK_TITLES[task]}: {metric.name} of each model in context and out of it, with 95 % intervals.",
        label=f"hardening-chart-{task}",
        task=task,
        title="In context and out of it",
        size=(6.4, 2.8),
    )


def _draw(axes: Axes, frame: pandas.DataFrame, metric: MetricRow) -> None:
    """A line for each model from what it scores in context to what it scores out of it."""
    places = list(dict.fromkeys(frame["where"]))
    if frame["value"].isna().all():
        say(axes, NOTHING)
    hues, ends = colours(list(frame["model"])), []
    for model, own in frame.groupby("model", sort=False):
        x = [places.index(where) for where in own["where"]]
        axes.plot(x, own["value"], "o-", color=hues[str(model)])
        for at, low, high in zip(x, own["low"], own["high"], strict=True):
            axes.plot([at, at], [low, high], "-", color=hues[str(model)], alpha=0.5, solid_capstyle="butt")
        last = own["value"].iloc[-1]
        ends += [(x[-1], last, str(model), hues[str(model)])] if last == last else []
    axes.set_xticks(range(len(places)), places)
    axes.set_xlim(-0.2, len(places) - 0.8)
    value_axis(axes.yaxis, axes.set_ylim, metric)
    axes.set_ylabel(metric.name)
    axes.grid(axis="y")
    label_ends(axes, ends)
