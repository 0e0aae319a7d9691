"""Whether models are as sure as they are right, under each condition. Guo et al., ICML 2017 (arXiv:1706.04599)"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.calibration import CALIBRATION, Reliability
from robustbench_cv.metrics.calibration import reliability as reliability_of
from robustbench_cv.palette import MUTED
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.figures import NOTHING, Chart, colours, legend_above, percent_axis, say, wrap_label
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LINES = 4
"""Conditions in one diagram: the unedited images, and those with the largest calibration errors."""

FEWEST_ANSWERS = 5
"""In a bin that is drawn; the data beside the figure have all (project choice)."""

_COLUMNS = ("model", "dataset", "condition", "confidence", "value", "low", "high", "answers", "n")

_WHAT: dict[Task, str] = {
    "classification": "Of the most probable class of each image.",
    "segmentation": "Of the most probable class at 256 pixels of each image, the same ones in all images of a size.",
    "detection": "Of the boxes at or above the operating score, right where COCO's matching at IoU 0.5 finds an object of their class.",
}


@report(paper="arXiv:1706.04599")
def reliability() -> Report:
    """How sure a model is beside how often it is right: reliability diagrams, and calibration errors, Brier score and log-likelihood.

    Of runs whose tracks measure `ece` (or `brier`, `nll`, `debiased-calibration-error`); of each corruption the most severe step alone.
    """
    return lambda results: [item for task in reporting.tasks_of(results) if _key(results, task) for item in _items(results, task)]


def _key(results: Results, task: Task) -> str:
    """Under which the run keeps how sure its answers were; empty where it does not."""
    group = next(iter(reporting.groups_of(results, task)), None)
    kept = {m.evidence_key for m in results.run.metrics(task)}
    return "" if group is None else next(iter({results.metric(group, "ece").evidence_key} & kept), "")


def _items(results: Results, task: Task) -> list[Item]:
    return [*(_chart(results, group) for group in reporting.groups_of(results, task)), _table(results, task)]


def _made(results: Results, group: Group, condition: str) -> Reliability:
    def make() -> Reliability:
        rows, key = results.rows(group, condition), results.metric(group, "ece").evidence_key
        evidence = rows.evidence(key, CALIBRATION)
        return reliability_of(evidence, excluded=len(rows) - len(evidence))

    return results.remember("reliability", group, [condition], "ece", Reliability, make)


def _table(results: Results, task: Task) -> Table:
    notes, rows = Footnotes(), list[list[Cell]]()
    scores = [] if task == "detection" else ["brier", "nll"]
    for group in reporting.groups_of(results, task):
        for condition in reporting.most_severe(results, task):
            rows.append(_row(results, group, condition, scores, notes))
    caption = (
        f"{reporting.TASK_TITLES[task]}: how sure the model is, how often it is right, and the first less the second (above 0: too sure); "
        "expected calibration error over 15 bins, its root mean square corrected for few images, and proper scores. 95 % intervals."
    )
    said = (
        _WHAT[task],
        "ECE of few answers lies above that of many, also of a well calibrated model; the corrected error does not. Compare equal n.",
    )
    columns = ["model", "condition", "confidence", "right", "confidence − right", "ECE", "corrected error", *scores, "n", "excluded"]
    return Table(cells_of(columns, rows), caption, f"reliability-{task}", (*notes.notes, *said), task, blocks="model", title="Calibration")


def _row(results: Results, group: Group, condition: Condition, scores: list[str], notes: Footnotes) -> list[Cell]:
    name = f"↳ {condition.name}" if condition.kind == "control" else condition.name
    made = _made(results, group, condition.name)
    first = [reporting.estimate_cell(results, group, [condition.name], "rate", e, notes) for e in (made.confidence, made.right, made.gap)]
    errors = [
        reporting.metric_cell(results, group, condition.name, metric, notes) for metric in ("ece", "debiased-calibration-error", *scores)
    ]
    counts: list[Cell] = [None, None] if first[0].blocked else [made.right.n, made.right.excluded]
    return [reporting.title_of(group), name, first[0], first[1], reporting.signed(first[2]), *errors, *counts]


def _chart(results: Results, group: Group) -> Chart:
    notes, rows = Footnotes(), []
    for condition in _drawn(results, group):
        blocked = results.stop_reason(group, condition.name)
        for one in [] if blocked else _made(results, group, condition.name).bins:
            values = (one.confidence, one.right.value, one.right.low, one.right.high, one.answers, one.right.n)
            rows.append((group.model, group.dataset, condition.name, *values))
        if blocked:
            reporting.metric_cell(results, group, condition.name, "ece", notes)
    frame = pandas.DataFrame(rows, columns=list(_COLUMNS)).astype({"confidence": float, "value": float, "low": float, "high": float})
    name, task = reporting.title_of(group), reporting.TASK_TITLES[group.task]
    return Chart(
        frame=frame,
        draw=_draw,
        caption=(
            f"{task}: reliability of {name}: the share of right answers against how sure it is, by 15 bins of confidence. Circles are as "
            f"large as their share of the answers; bars are 95 % intervals; bins of fewer than {FEWEST_ANSWERS} answers are left out. "
            "Below the diagonal it is too sure."
        ),
        label=f"reliability-{group.task}-{slug(name)}",
        notes=notes.notes,
        task=group.task,
        title=f"Reliability of {name}",
        size=(4.6, 4.4),
    )


def _drawn(results: Results, group: Group) -> list[Condition]:
    """The clean condition, then those of the largest calibration error, in the order of the suite."""
    every = [c for c in reporting.most_severe(results, group.task) if c.kind != "control"]
    errors = {c.name: results.estimate(group, c.name, "ece").value for c in every}
    worst = sorted((c for c in every if c.kind != "clean"), key=lambda c: -(errors[c.name] or 0.0))[: MOST_LINES - 1]
    return [c for c in every if c.kind == "clean" or c in worst]


def _draw(axes: Axes, frame: pandas.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=0.9, zorder=0)
    hues = colours(list(frame["condition"]))
    for name, every in frame.groupby("condition", sort=False):
        part = every[every["answers"] >= FEWEST_ANSWERS]
        hue, share = hues[str(name)], part["answers"] / every["answers"].sum()
        axes.vlines(part["confidence"], part["low"], part["high"], color=hue, alpha=0.3, linewidth=1.4)
        axes.plot(part["confidence"], part["value"], color=hue, linewidth=1.2, label=wrap_label(str(name)))
        axes.scatter(
            part["confidence"], part["value"], s=12 + 160 * share, color=hue, edgecolor="white", linewidth=0.5, zorder=3, clip_on=False
        )
    if frame.empty or not frame["value"].notna().any():
        say(axes, NOTHING)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("right")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid()
    axes.set_axisbelow(True)
    if not frame.empty:
        legend_above(axes)
