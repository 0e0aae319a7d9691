"""Which mistakes a detector makes under each condition, and what each kind costs. Bolya et al., ECCV 2020 (arXiv:2008.08115)"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.detection_errors import KEY, MISTAKES, NAMES, Mistake
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.palette import INK, PALETTE
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.figures import NOTHING, Chart, legend_above, say, wrap_label
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HUES = dict(zip(MISTAKES, (INK, PALETTE[1], PALETTE[0], PALETTE[4], PALETTE[5], PALETTE[3]), strict=True))

_KINDS = (
    "Missed: no box finds the object, nor would one with its class or place mended. Hallucinated: IoU with every object at most 0.1. "
    "Confused: IoU 0.5 with an object of another class. Mislocalised: IoU 0.1 to 0.5 with an object of its class. Duplicated: its "
    "object has a more confident box. Each wrong box is of one kind (TIDE)."
)


@report(paper="arXiv:2008.08115")
def detection_errors() -> Report:
    """A detector's mistakes by kind: missed, hallucinated, confused, mislocalised, duplicated, or wrong in class and place.

    Mistakes per image at the operating score, a chart of them for each model, which kind grows most against the unedited images, and what
    each kind costs in AP50. Of each corruption the most severe step alone is shown.
    """
    return lambda results: _items(results) if _is_measured(results) else []


def _is_measured(results: Results) -> bool:
    return "detection" in reporting.tasks_of(results) and KEY in {m.evidence_key for m in results.run.metrics("detection")}


def _items(results: Results) -> list[Item]:
    groups = reporting.groups_of(results, "detection")
    return [*(_chart(results, group) for group in groups), _counts(results, groups), _costs(results, groups)]


def _per_image(kind: Mistake) -> str:
    return f"errors-per-image(kind={kind!r})"


def _counts(results: Results, groups: list[Group]) -> Table:
    notes, rows = Footnotes(), list[list[Cell]]()
    for group in groups:
        for condition in reporting.most_severe(results, "detection"):
            name = f"↳ {condition.name}" if condition.kind == "control" else condition.name
            numbers = [reporting.metric_cell(results, group, condition.name, _per_image(kind), notes) for kind in MISTAKES]
            n, excluded = (None, None) if numbers[0].blocked else (numbers[0].estimate.n, numbers[0].estimate.excluded)
            rows.append([reporting.title_of(group), name, *numbers, _growth(results, group, condition), n, excluded])
    caption = (
        "Object detection: mistakes per image among the boxes reported at the model's operating score, by kind, with 95 % intervals; "
        "and the kind that grows most against the unedited images, by image, where its interval leaves out 0."
    )
    columns: list[str | tuple[str, str]] = [
        "model",
        "condition",
        *(("mistakes", NAMES[kind]) for kind in MISTAKES),
        "grows most",
        "n",
        "excluded",
    ]
    return Table(
        cells_of(columns, rows),
        caption,
        "detection-errors",
        (*notes.notes, _KINDS),
        "detection",
        blocks="model",
        title="Mistakes of detectors",
    )


def _growth(results: Results, group: Group, condition: Condition) -> str | None:
    """ "hallucinated +1.20 [+0.80, +1.60]": of an edit what it adds on the same images, of an attack what it adds to the clean ones."""
    if condition.kind == "clean":
        return None
    grown: list[tuple[Mistake, Estimate]] = []
    for kind in MISTAKES:
        added = _added(results, group, condition, _per_image(kind))
        if added is not None and added.value is not None and added.low is not None and added.low > 0:
            grown.append((kind, added))
    if not grown:
        return None
    kind, most = max(grown, key=lambda one: one[1].value or 0.0)
    return f"{NAMES[kind]} {Number(most, 'count per image', signed=True).text}"


def _added(results: Results, group: Group, condition: Condition, metric: str) -> Estimate | None:
    if results.stop_reason(group, condition.name):
        return None
    clean = results.conditions(group.task, "clean")
    if condition.attack is not None and not condition.interventions:
        return results.difference(group, condition.name, clean[0].name, metric) if clean else None
    try:
        return results.effect(group, condition.name, metric).effect
    except NotApplicable:
        return None


def _costs(results: Results, groups: list[Group]) -> Table:
    notes, rows = Footnotes(), list[list[Cell]]()
    for group in groups:
        for condition in (c for c in reporting.most_severe(results, "detection") if c.kind != "control"):
            costs = [reporting.metric_cell(results, group, condition.name, f"ap50-lost(to={kind!r})", notes) for kind in MISTAKES]
            n = None if costs[0].blocked else costs[0].estimate.n
            rows.append([reporting.title_of(group), condition.name, *costs, n])
    caption = (
        "Object detection: how much AP50 would rise were all mistakes of one kind mended and the others left, with 95 % intervals. "
        "The costs do not add up to what is missing of AP50: what one mends lets another count for more."
    )
    said = (
        "Mended: a confused or mislocalised box becomes right where its object is still free, other wrong boxes are taken away, and missed "
        "objects are no longer asked for. All boxes count, whatever their score."
    )
    columns: list[str | tuple[str, str]] = ["model", "condition", *(("AP50 lost to", NAMES[kind]) for kind in MISTAKES), "n"]
    return Table(
        cells_of(columns, rows),
        caption,
        "detection-errors-cost",
        (*notes.notes, said),
        "detection",
        blocks="model",
        title="What mistakes cost",
    )


def _chart(results: Results, group: Group) -> Chart:
    notes, rows = Footnotes(), []
    conditions = [c for c in reporting.most_severe(results, "detection") if c.kind != "control"]
    for condition in conditions:
        for kind in MISTAKES:
            e = reporting.metric_cell(results, group, condition.name, _per_image(kind), notes).estimate
            rows.append((group.model, group.dataset, condition.name, NAMES[kind], e.value, e.low, e.high, e.n, e.excluded))
    columns = ["model", "dataset", "condition", "kind", "value", "low", "high", "n", "excluded"]
    frame = pandas.DataFrame(rows, columns=columns).astype({"value": float, "low": float, "high": float})
    name = reporting.title_of(group)
    return Chart(
        frame=frame,
        draw=_draw,
        caption=f"Object detection: mistakes per image of {name} at its operating score, by kind and condition.",
        label=f"detection-errors-{slug(name)}",
        notes=notes.notes,
        task="detection",
        title=f"Mistakes of {name}",
        size=(6.4, 1.2 + 0.24 * len(conditions)),
    )


def _draw(axes: Axes, frame: pandas.DataFrame) -> None:
    """A bar for each condition, its kinds one behind another."""
    names = list(dict.fromkeys(frame["condition"]))
    left = dict.fromkeys(names, 0.0)
    for kind in MISTAKES:
        part = frame[(frame["kind"] == NAMES[kind]) & frame["value"].notna()]
        heights = [names.index(name) for name in part["condition"]]
        starts = [left[name] for name in part["condition"]]
        axes.barh(heights, part["value"], left=starts, height=0.68, color=_HUES[kind], label=NAMES[kind], edgecolor="white", linewidth=0.4)
        for name, value in zip(part["condition"], part["value"], strict=True):
            left[name] += float(value)
    if not frame["value"].notna().any():
        say(axes, NOTHING)
    axes.set_yticks(range(len(names)), [wrap_label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(left=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel("mistakes per image")
    legend_above(axes)
