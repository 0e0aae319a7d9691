"""How much less is recognised the less an object's new context suits it: swaps of contexts by compatibility (after ContextShift)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy
import pandas

from robustbench_cv import context_results
from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import report
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.compatibility_bins import ByCompatibility, Place, ShiftBin
from robustbench_cv.metrics.context_association import FEWEST
from robustbench_cv.metrics.context_shift import ContextShift
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.object_recall import NAME as OBJECT_RECALL
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import swaps
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.figures import NOTHING, Chart, colours, label_ends, percent_axis, say
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task
from robustbench_cv.types import ContextKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RECALL = ("model", "edit", "compatibility", "object recall", "effect", "control's effect", "effect − control", "n", "excluded")
_SLOPE = ("model", "edit", "slope", "n", "excluded")
_SHIFT = ("model", "edit", "compatibility", "misses", "false boxes", "boxes", "n", "excluded")
_POINTS = ("model", "series", "placebo", "x", "value", "low", "high", "n", "excluded")

_TOLD: dict[ContextKind, str] = {
    "declared": "the context that the data say of each image",
    "surfaces": "the surfaces that an image shows",
    "classes": "the classes of the other objects in an image, and of a borrowed background those that stood there",
}

_COUNTERS = {"misses": "misses", "false_boxes": "false boxes", "boxes": "boxes"}


@report(paper="arXiv:2606.09495")
def context_compatibility(bins: PositiveInt = 5) -> Report:
    """Object recall, and a detector's misses and boxes, after swaps of contexts by how often class and new context go together.

    bins: of the normalised pointwise mutual information, equally wide from -1 to 1.
    """
    edges = [float(edge) for edge in numpy.linspace(-1, 1, bins + 1)]
    return lambda results: [item for task in reporting.tasks_of(results) for item in _items(results, task, edges)]


def _items(results: Results, task: Task, edges: list[float]) -> list[Item]:
    if OBJECT_RECALL not in results.metrics(task):
        return []
    found = [
        (group, condition.name, made)
        for group in reporting.groups_of(results, task)
        for condition, _ in swaps(results, task)
        if (made := _made(lambda g=group, c=condition.name: context_results.by_compatibility(results, g, c, edges))) is not None  # type: ignore[misc]
    ]
    if not found:
        return []
    text = _counted(results, task, [group for group, _, _ in found])
    charts = [
        _recall_chart(results, task, name, k, [(group, made) for group, other, made in found if other == name])
        for k, name in enumerate(dict.fromkeys(name for _, name, _ in found))
    ]
    items: list[Item] = [_recall_table(results, task, found, text), _slope_table(results, task, found), *charts]
    return [*items, *_counters(results, task, edges)]


def _made(make: Callable[[], ByCompatibility]) -> ByCompatibility | None:
    try:
        return make()
    except NotApplicable:
        return None


_Found = list[tuple[Group, str, ByCompatibility]]


def _counted(results: Results, task: Task, groups: list[Group]) -> str:
    """What compatibility is, and on what it was counted."""
    told = {
        group.dataset: (association.images, _TOLD[association.kind])
        for group in groups
        if (association := results.association(group)) is not None and association.kind is not None
    }
    where = "; ".join(f"{name}, {images} images, by {kind}" for name, (images, kind) in told.items())
    return (
        "Compatibility: the normalised pointwise mutual information of an object's class and the context that it was put in, from -1 "
        "(never together) over 0 (as often as by chance) to 1 (never apart), the mean over an image's objects, counted on all of the data "
        f"({where}); pairs that fewer than {FEWEST} images hold, or would hold by chance, are not counted."
    )


def _recall_table(results: Results, task: Task, found: _Found, text: str) -> Table:
    notes = Footnotes()
    rows = [row for group, name, made in found for row in _recall_rows(results, group, name, made, notes)]
    unknown = {f"{name} ({reporting.title_of(group)})": made.unknown for group, name, made in found if made.unknown}
    left_out = tuple(
        f"{n} images of {name} are in no bin: their objects and contexts are too rare in the data." for name, n in unknown.items()
    )
    caption = (
        f"{reporting.TASK_TITLES[task]}: recall of the objects after their context was swapped, and its change, by how compatible they are "
        f"with the new one; 95 % intervals. {text}"
    )
    return Table(
        cells_of(_RECALL, rows),
        caption,
        f"context-compatibility-{task}",
        (*notes.notes, *left_out),
        task,
        blocks="model",
        title="Compatibility of object and context",
    )


def _recall_rows(results: Results, group: Group, name: str, made: ByCompatibility, notes: Footnotes) -> Iterator[list[Cell]]:
    names = reporting.with_controls(results, group.task, [name])
    for one in made.bins:
        after = reporting.estimate_cell(results, group, [name], "rate", one.after, notes)
        sides = (one.effect, names[:1]), (one.control, names[1:]), (one.difference, names)
        changes: list[Cell] = [reporting.signed(reporting.estimate_cell(results, group, used, "rate", e, notes)) for e, used in sides]
        yield [reporting.title_of(group), name, _range(one.place), after, *changes, one.effect.n, one.effect.excluded]


def _range(place: Place) -> str:
    return f"{place.low:g} to {place.high:g}".replace("-", "−")


def _slope_table(results: Results, task: Task, found: _Found) -> Table:
    notes = Footnotes()
    rows: list[list[Cell]] = []
    for group, name, made in found:
        names = reporting.with_controls(results, task, [name])
        cell = reporting.signed(reporting.estimate_cell(results, group, names, "rate", made.slope, notes))
        rows.append([reporting.title_of(group), name, cell, made.slope.n, made.slope.excluded])
    caption = (
        f"{reporting.TASK_TITLES[task]}: points of object recall, less the placebo's, for each unit of compatibility that the new context "
        "has more than the old one (least squares over the images, 95 % intervals): 0 is a model whose recall does not care whether a "
        "context suits the object."
    )
    return Table(
        cells_of(_SLOPE, rows),
        caption,
        f"context-compatibility-slope-{task}",
        notes.notes,
        task,
        blocks="model",
        title="Recall for each unit of compatibility",
    )


def _recall_chart(results: Results, task: Task, name: str, k: int, found: list[tuple[Group, ByCompatibility]]) -> Chart:
    rows: list[tuple[object, ...]] = []
    for group, made in found:
        title = reporting.short_title(results, group)
        for one in made.bins:
            rows.append(_point(title, "swapped", one.place, one.after, placebo=False))
            rows.append(_point(title, "control", one.place, one.control_after, placebo=True))
        rows += [_point(title, "unedited", one.place, one.value, placebo=False) for one in made.unedited]
    caption = (
        f"{reporting.TASK_TITLES[task]}, {name}: recall of the objects by how compatible they are with the context that they were put in "
        "(solid); dashed, the same images under the placebo; dotted, unedited images by how compatible their objects are with their own "
        "context. Points stand at the mean of a bin's images; bands are 95 % intervals."
    )
    return _chart(
        rows, caption, f"context-compatibility-chart-{task}{f'-{k}' if k else ''}", task, "recall of the objects", "Recall by compatibility"
    )


def _point(title: str, series: str, place: Place, e: Estimate, *, placebo: bool) -> tuple[object, ...]:
    return title, series, placebo, place.mean, e.value, e.low, e.high, e.n, e.excluded


def _chart(rows: list[tuple[object, ...]], caption: str, label: str, task: Task, axis: str, title: str) -> Chart:
    frame = pandas.DataFrame(rows, columns=list(_POINTS)).astype({"x": float, "value": float, "low": float, "high": float})

    def draw(axes: Axes, part: pandas.DataFrame) -> None:
        _draw(axes, part, axis)

    return Chart(frame=frame, draw=draw, caption=caption, label=label, task=task, title=title)


_STYLES = {"control": "--o", "unedited": ":o"}


def _draw(axes: Axes, frame: pandas.DataFrame, axis: str) -> None:
    """A colour for each model, or counter where there are several; dashed for placebos."""
    keys = [_key(row.model, row.series) for row in frame.itertuples(index=False)]
    hues, ends = colours(keys), []
    for (model, series, placebo), line in frame[frame["value"].notna()].groupby(["model", "series", "placebo"], sort=False):
        hue, ordered = hues[_key(model, series)], line.sort_values("x")
        faint = placebo or series == "unedited"
        axes.fill_between(ordered["x"], ordered["low"], ordered["high"], color=hue, alpha=0.05 if faint else 0.16, linewidth=0)
        style = "--o" if placebo else _STYLES.get(str(series), "-o")
        axes.plot(ordered["x"], ordered["value"], style, color=hue, alpha=0.6 if faint else 1.0, clip_on=False)
        last = ordered.iloc[-1]
        name = _key(model, series) + {"control": ", control", "unedited": ", unedited"}.get(str(series), ", control" if placebo else "")
        ends.append((float(last["x"]), float(last["value"]), name, hue))
    if not ends:
        say(axes, NOTHING)
    axes.set_xlim(-1.02, 1.02)
    axes.set_xlabel("compatibility of object and context (NPMI)")
    axes.set_ylabel(axis)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    percent_axis(axes.yaxis)
    label_ends(axes, ends)


def _key(model: object, series: object) -> str:
    return str(series) if series in _COUNTERS.values() else str(model)


def _counters(results: Results, task: Task, edges: list[float]) -> list[Item]:
    """ContextShift's counters of detectors, as a table and, for each model and swap, as curves."""
    notes, charts = Footnotes(), []
    rows: list[list[Cell]] = []
    for k, group in enumerate(reporting.groups_of(results, task)):
        for condition, _ in swaps(results, task):
            try:
                made = context_results.shift_by_compatibility(results, group, condition.name, edges)
            except NotApplicable:
                continue
            names = reporting.with_controls(results, task, [condition.name])
            for one in made:
                rows += [
                    _counter_row(results, group, name, one.place, shift, notes)
                    for name, shift in zip(names, (one.swap, one.control), strict=True)
                ]
            charts.append(_counter_chart(results, group, condition.name, made, f"{k}-{slug(condition.name)}"))
    if not rows:
        return []
    caption = (
        f"{reporting.TASK_TITLES[task]}: ContextShift's counters (relative changes of misses, of boxes that match no object, and of all "
        "boxes at the operating score, IoU 0.5; 95 % intervals) by how compatible the objects are with the context that they were put in. "
        "A control's row is of the same images."
    )
    table = Table(
        cells_of(_SHIFT, rows),
        caption,
        "context-compatibility-counters",
        notes.notes,
        task,
        blocks="model",
        title="Misses and boxes by compatibility",
    )
    return [table, *charts]


def _counter_row(results: Results, group: Group, name: str, place: Place, shift: ContextShift, notes: Footnotes) -> list[Cell]:
    cells: list[Cell] = [reporting.signed(reporting.estimate_cell(results, group, [name], "rate", e, notes)) for e in shift]
    return [reporting.title_of(group), name, _range(place), *cells, shift.boxes.n, shift.boxes.excluded]


def _counter_chart(results: Results, group: Group, swap: str, made: list[ShiftBin], label: str) -> Chart:
    title = reporting.short_title(results, group)
    points = [
        _point(title, shown, one.place, getattr(shift, field), placebo=placebo)
        for one in made
        for placebo, shift in ((False, one.swap), (True, one.control))
        for field, shown in _COUNTERS.items()
    ]
    caption = (
        f"{reporting.TASK_TITLES[group.task]}, {reporting.title_of(group)}, {swap}: relative change of misses, of boxes that match no "
        "object, and of all boxes by how compatible the objects are with the context that they were put in; dashed, the same images under "
        "the placebo. Bands are 95 % intervals."
    )
    name = f"context-compatibility-counters-{label}"
    return _chart(points, caption, name, group.task, "relative change", "Misses and boxes by compatibility")
