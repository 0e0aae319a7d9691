"""The elephant in the room: what a model says of a pasted object from place to place, and what changes far from it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy
import pandas

from robustbench_cv import context_results
from robustbench_cv.catalogue import report
from robustbench_cv.context_results import ANSWER_CHANGE
from robustbench_cv.metrics.answer_change import RINGS
from robustbench_cv.metrics.mean_over_placements import OverPlaces
from robustbench_cv.metrics.metric import Estimate, Unit
from robustbench_cv.metrics.object_recall import NAME as OBJECT_RECALL
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import facts_of
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.figures import Chart, colours, legend_above, percent_axis, points, say, wrap_label
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import SUFFIXES, Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS = 5
"""Parts of each side of the image in the chart by place (project choice)."""

ABREAST = 3
"""Maps beside each other."""

FEWEST = 10
"""Pasted objects of which a part of the image must hold the centre to be shown (project choice)."""

_ENTROPY = "label entropy"

_FINDINGS: dict[Task, dict[str, str]] = {
    "detection": {
        OBJECT_RECALL: "the object is detected (self-detection rate)",
        "misnamed": "the object is called something else",
        _ENTROPY: "label entropy over places, bits",
        ANSWER_CHANGE: "a distant box changes (non-local change rate)",
        "nonlocal-lost": "… it is lost",
        "nonlocal-relabelled": "… it has another label",
        "nonlocal-moved": "… it moves",
        "nonlocal-boxes": "distant boxes that change",
        "new-classes": "new classes besides the object's",
    },
    "segmentation": {
        OBJECT_RECALL: "the object's pixels have its class",
        _ENTROPY: "label entropy over places, bits",
        ANSWER_CHANGE: "distant pixels that change",
    },
    "classification": {
        OBJECT_RECALL: "the answer is the pasted object's class",
        _ENTROPY: "entropy of the answer over places, bits",
        ANSWER_CHANGE: "the answer changes",
    },
}
"""What is asked of each task, by the metric that answers it."""

_COLUMNS = ("model", "finding", "object", "placebo", "object − placebo", "images", "excluded")

_EXPLAINED: dict[Task, str] = {
    "detection": (
        "Distant boxes: those on the unedited image, at the operating score, with IoU below 0.05 to the object's box; one changes where no "
        "box of its class is left with IoU 0.5. Label entropy: of the surest label at IoU 0.5 to the object's box, where there is one."
    ),
    "segmentation": (
        "Distant pixels lie further from the object's box than a tenth of the shorter side. Label entropy: of the commonest label of the "
        "object's pixels."
    ),
    "classification": (
        "The label stays that of the object which was there before, of which at least three quarters stay in sight; another answer is an "
        "effect of an object elsewhere."
    ),
}


@report(paper="arXiv:1808.03305")
def transplant() -> Report:
    """Self-detection, label entropy and non-local change of a pasted object over its places, less the placebo's; by place and distance."""
    return lambda results: [
        item
        for task in reporting.tasks_of(results)
        for partner, conditions in _by_partner(results, task).items()
        for item in _items(results, task, partner, conditions)
    ]


def _by_partner(results: Results, task: Task) -> dict[str, list[str]]:
    """The places at which an object was pasted, each with a placebo, by how the object's class was chosen."""
    found: dict[str, list[str]] = {}
    if ANSWER_CHANGE not in results.metrics(task):
        return found
    for condition in results.conditions(task, "intervention"):
        facts = facts_of(results, task, condition)
        if facts is not None and facts.experiment == "transplant" and results.controls(task, condition.name):
            found.setdefault(facts.method, []).append(condition.name)
    return found


def _items(results: Results, task: Task, partner: str, conditions: list[str]) -> list[Item]:
    label = slug(f"{task} {partner}")
    items: list[Item] = [_table(results, task, partner, conditions, label)]
    items.append(_place_chart(results, task, conditions, label))
    if task == "segmentation":
        items.append(_distance_chart(results, conditions, label))
    return items


def _table(results: Results, task: Task, partner: str, conditions: list[str], label: str) -> Table:
    notes = Footnotes()
    findings = {metric: name for metric, name in _FINDINGS[task].items() if metric in (*results.metrics(task), _ENTROPY)}
    rows = [
        _row(results, group, conditions, metric, name, notes)
        for group in reporting.groups_of(results, task)
        for metric, name in findings.items()
    ]
    caption = (
        f"{reporting.TASK_TITLES[task]}: one {'' if partner == 'random' else f'{partner} '}object of another image pasted at "
        f"{len(conditions)} places of each image, beside the placebo, a patch of that image's background of the same shape; 95 % intervals "
        f"of images, each with all its places. {_EXPLAINED[task]}"
    )
    title = "Transplanted objects" + ("" if partner == "random" else f", {partner}")
    return Table(cells_of(_COLUMNS, rows), caption, f"transplant-{label}", notes.notes, task, blocks="model", title=title)


def _row(results: Results, group: Group, conditions: list[str], metric: str, name: str, notes: Footnotes) -> list[Cell]:
    if metric == _ENTROPY:
        made, unit = context_results.label_entropy_over_transplants(results, group, conditions), _bits()
    else:
        made, unit = context_results.over_transplants(results, group, conditions, metric), reporting.unit_of(results, group.task, metric)
    if len({one.n for one in made}) > 1:
        notes.remark(
            f"{reporting.title_of(group)}, {name}: the placebo's is of {made.placebo.n} images, the difference of the {made.net.n} that "
            "have both."
        )
    names = reporting.with_controls(results, group.task, conditions)
    edited, placebo, net = (reporting.estimate_cell(results, group, names, unit, one, notes) for one in made)
    counts: list[Cell] = [None, None] if edited.blocked else [made.edited.n, made.edited.excluded]
    return [reporting.title_of(group), f"{name}{SUFFIXES[unit]}", edited, placebo, reporting.signed(net), *counts]


def _bits() -> Unit:
    """Bits stand in the finding's name."""
    return "count"


def _place_chart(results: Results, task: Task, conditions: list[str], label: str) -> Chart:
    """Where the object is seen; of classifiers, where it changes the answer."""
    metric = ANSWER_CHANGE if task == "classification" or OBJECT_RECALL not in results.metrics(task) else OBJECT_RECALL
    groups = reporting.groups_of(results, task)
    shown = [
        (reporting.short_title(results, group), cell.row, cell.column, cell.value, cell.places)
        for group in groups
        for cell in context_results.by_transplant_place(results, group, conditions, metric, CELLS)
        if cell.places >= FEWEST
    ]
    frame = pandas.DataFrame(shown, columns=["model", "row", "column", "value", "places"]).astype({"value": float})
    asked = _FINDINGS[task][metric].split(" (")[0]
    return Chart(
        frame=frame.assign(low=numpy.nan, high=numpy.nan),
        draw=_draw_places,
        caption=(
            f"{reporting.TASK_TITLES[task]}: “{asked}”, in percent, by the part of the image in which the object's centre lies. "
            f"Blank: fewer than {FEWEST} objects."
        ),
        label=f"transplant-places-{label}",
        task=task,
        title="By place in the image",
        size=(6.4, 0.5 + 2.3 * -(-len(groups) // ABREAST)),
    )


def _draw_places(axes: Axes, frame: pandas.DataFrame) -> None:
    """A map for each model, side by side, with a free column and a free row between two."""
    models = list(dict.fromkeys(frame["model"]))
    if not models:
        say(axes, "no part of the image has enough objects")
    step, height = CELLS + 1, CELLS + 1.6
    for k, model in enumerate(models):
        left, top = step * (k % ABREAST), height * (k // ABREAST)
        values = numpy.full((CELLS, CELLS), numpy.nan)
        for _, row, column, value, *_rest in frame[frame["model"] == model].itertuples(index=False):
            values[row, column] = value
            colour = "black" if value > 0.6 else "white"
            axes.text(
                left + column + 0.5, top + row + 0.5, f"{100 * value:.0f}", ha="center", va="center", fontsize=points(7), color=colour
            )
        axes.imshow(values, cmap="viridis", vmin=0, vmax=1, extent=(left, left + CELLS, top + CELLS, top))
        axes.text(left, top - 0.2, wrap_label(model, 28), ha="left", va="bottom", fontsize=points(8))
    axes.set_xlim(0, step * ABREAST - 1)
    axes.set_ylim(height * max(1, -(-len(models) // ABREAST)) - 1.5, -0.9)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _distance_chart(results: Results, conditions: list[str], label: str) -> Chart:
    """Pixels that change against their distance from the object, and from the placebo."""
    rows: list[tuple[object, ...]] = []
    for group in reporting.groups_of(results, "segmentation"):
        for ring, begin in enumerate(RINGS):
            made: OverPlaces = context_results.ring_over_transplants(results, group, conditions, ring)
            rows += [_point(reporting.short_title(results, group), side, ring, begin, one) for side, one in _sides(made)]
    columns = ["model", "pasted", "ring", "from", "value", "low", "high", "n"]
    frame = pandas.DataFrame(rows, columns=columns).astype({"value": float, "low": float, "high": float})
    return Chart(
        frame=frame,
        draw=_draw_distances,
        caption=(
            "Segmentation: share of the pixels whose label changes, against their distance from the pasted object's box in shares of the "
            "shorter side; dashed, the placebo. Bands are 95 % intervals."
        ),
        label=f"transplant-distance-{label}",
        task="segmentation",
        title="Changed pixels by distance",
    )


def _sides(made: OverPlaces) -> list[tuple[str, Estimate]]:
    return [("object", made.edited), ("placebo", made.placebo)]


def _point(model: str, side: str, ring: int, begin: float, e: Estimate) -> tuple[object, ...]:
    return model, side, ring, begin, e.value, e.low, e.high, e.n


def _draw_distances(axes: Axes, frame: pandas.DataFrame) -> None:
    hues = colours(list(frame["model"]))
    if frame["value"].isna().all():
        say(axes, "every number here is blocked or undefined")
    for model, side in dict.fromkeys(zip(frame["model"], frame["pasted"], strict=True)):
        line = frame[(frame["model"] == model) & (frame["pasted"] == side)]
        axes.fill_between(line["ring"], line["low"], line["high"], color=hues[model], alpha=0.14, linewidth=0)
        axes.plot(line["ring"], line["value"], "-o" if side == "object" else "--o", color=hues[model], label=f"{model}, {side}")
    ends = [f"{100 * begin:.0f}–{100 * end:.0f} %" for begin, end in itertools.pairwise(RINGS)]
    axes.set_xticks(range(len(RINGS)), [*ends, f"over {100 * RINGS[-1]:.0f} %"])
    axes.set_xlabel("distance from the object's box, in shares of the shorter side")
    axes.set_ylabel("changed pixels")
    axes.set_ylim(bottom=0)
    percent_axis(axes.yaxis)
    axes.grid(axis="y")
    legend_above(axes)
