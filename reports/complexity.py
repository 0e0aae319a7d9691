"""Accuracy against cost, clean and attacked. After Canziani, Paszke and Culurciello, 2016, https://arxiv.org/abs/1605.07678, figure 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.palette import RULE
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.figures import Chart, points, say, value_axis, wrap_label
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, MetricRow, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZES = (90.0, 900.0)
"""Areas of the smallest and largest bubble that is drawn, in square points; between them area is proportional to parameters."""

_COLUMNS = ("model", "dataset", "parameters", "macs", "kind", "condition", "value", "low", "high", "n", "excluded")

UNCOUNTED = "this run did not count it; the same command again does"


@report()
def complexity() -> Report:
    """The primary metric, clean and at its worst under attack, against multiply-adds, bubbles as large as the parameters; and a table."""
    return lambda results: [part for task in reporting.tasks_of(results) for part in (_chart(results, task), _table(results, task))]


def _chart(results: Results, task: Task) -> Chart:
    metric, notes = results.metrics(task)[0], Footnotes()
    rows, missing = [], []
    for group in reporting.groups_of(results, task):
        cost = results.complexity(group)
        clean, (worst, under) = _clean(results, group, metric, notes), _worst(results, group, metric, notes)
        if cost is None or cost.macs is None:
            missing.append(f"{reporting.title_of(group)} is not drawn: {UNCOUNTED if cost is None else cost.note}.")
        macs = None if cost is None else cost.macs
        for kind, condition, number in (("clean", "clean", clean), ("worst", under, worst)):
            if number is not None:
                e = number.estimate
                head = (group.model, group.dataset, results.model_row(group).parameters, macs, kind, condition)
                rows.append((*head, e.value, e.low, e.high, e.n, e.excluded))
    frame = pandas.DataFrame(rows, columns=list(_COLUMNS))
    frame = frame.astype(dict.fromkeys(("parameters", "macs", "value", "low", "high"), float))
    scale, hues = results.metric_row(task, metric), reporting.model_hues(results, task)
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} against multiply-adds per image (1 MAC = 2 FLOP). Full circles: clean images; "
        "open circles: the worst case over the attacks of one budget. A circle's area is proportional to the parameters, down to a tenth "
        "of the largest."
    )
    every = (*missing, *notes.notes)
    return Chart(
        frame=frame,
        draw=lambda axes, f: _draw(axes, f, scale, hues),
        caption=caption,
        label=f"complexity-{task}",
        notes=every,
        task=task,
        title="Accuracy against compute",
        size=(6.8, 3.9),
    )


def _draw(axes: Axes, frame: pandas.DataFrame, metric: MetricRow, hues: Mapping[str, str]) -> None:
    drawn = _drawable(frame)
    axes.set_xlabel("GMAC per image, at the data's own image size")
    axes.set_ylabel(metric.words)
    value_axis(axes.yaxis, axes.set_ylim, metric, margin=0.08)  # room for a large circle at either end
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if drawn.empty:
        say(axes, "no model here has both a clean number and a count of its multiply-adds")
        axes.set_xticks([])
        return
    several = drawn["dataset"].nunique() > 1
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in drawn.to_dict("records")]
    numbered: list[dict[str, Any]] = [{"number": i + 1, "hue": hues[str(row["model"])]} | row for i, row in enumerate(rows)]
    most = float(drawn["parameters"].max())
    for row in sorted(numbered, key=lambda row: -row["parameters"]):  # small circles over large ones
        _circles(axes, row, _area(row["parameters"], most))
    axes.set_xscale("log")
    xs = drawn["macs"] / 1e9
    axes.set_xlim(float(xs.min()) / 2.2, float(xs.max()) * 2.2)
    _plain_ticks(axes)
    _key(axes, [(f"{row['number']}  {_name(row, several)}, {_count(row['parameters'])}", row["hue"]) for row in numbered])


def _drawable(frame: pandas.DataFrame) -> pandas.DataFrame:
    """One row a model that has a clean number and a count, by cost: its clean and its worst value side by side."""
    counted = frame[frame["macs"].notna() & frame["value"].notna()]
    clean, worst = (counted[counted["kind"] == kind].rename(columns={"value": kind}) for kind in ("clean", "worst"))
    keys = ["model", "dataset"]
    return clean.merge(worst[[*keys, "worst"]], on=keys, how="left").sort_values("macs", kind="stable")


def _area(parameters: float, most: float) -> float:
    """Proportional to the parameters; a model 10 times smaller than the largest, or more, gets the smallest circle that can be seen."""
    return max(_SIZES[0], _SIZES[1] * parameters / most)


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="both", bottom=True, color=RULE)


def _circles(axes: Axes, row: dict[str, Any], area: float) -> None:
    """A model's two circles, joined, its number in the clean one."""
    x, clean, worst, hue = row["macs"] / 1e9, row["clean"], row["worst"], row["hue"]
    if worst == worst:  # a number, not NaN
        axes.plot([x, x], [worst, clean], color=hue, linewidth=1.2, alpha=0.4, zorder=1)
        axes.scatter(x, worst, s=area, facecolor="white", edgecolor=hue, linewidth=1.6, zorder=2, clip_on=False)
    axes.scatter(x, clean, s=area, color=hue, edgecolor="white", linewidth=0.6, zorder=3, clip_on=False)
    axes.text(
        x, clean, str(row["number"]), color="white", fontsize=points(7), fontweight="bold", ha="center", va="center_baseline", zorder=4
    )


def _key(axes: Axes, entries: list[tuple[str, str]]) -> None:
    """Names at the right of the panel, in the order of the axis: a model's number, name and parameters."""
    gap = min(0.075, 1 / len(entries))
    for i, (text, hue) in enumerate(entries):
        axes.text(1.03, 1 - gap * (i + 0.5), text, transform=axes.transAxes, color=hue, fontsize=points(min(8.0, 105 * gap)), va="center")


def _name(row: dict[str, Any], several: bool) -> str:
    return wrap_label(f"{row['model']} · {row['dataset']}" if several else str(row["model"]), 32)


def _count(parameters: float) -> str:
    """Parameters in thousands or millions.

    >>> _count(138_357_544), _count(61_706)
    ('138 M', '61.7 k')
    """
    return f"{parameters / 1e6:.3g} M" if parameters >= 1e6 else f"{parameters / 1e3:.3g} k"


def _table(results: Results, task: Task) -> Table:
    metric, notes = results.metrics(task)[0], Footnotes()
    columns = ["model", "parameters", "GMAC", "GFLOP", "image", f"clean {metric}", f"worst {metric}", "worst under"]
    rows: list[list[Cell]] = []
    for group in reporting.groups_of(results, task):
        cost = results.complexity(group)
        macs, size = (None, "") if cost is None or cost.macs is None else (cost.macs / 1e9, "x".join(map(str, reversed(cost.image))))
        remark = UNCOUNTED if cost is None else cost.note
        mark = notes.remark(f"{reporting.title_of(group)}: {remark}.") if remark else ""
        clean, (worst, under) = _clean(results, group, metric, notes), _worst(results, group, metric, notes)
        costs: list[Cell] = [f"–{mark}" if macs is None else f"{macs:.4g}{mark}", None if macs is None else f"{2 * macs:.4g}", size]
        rows.append([reporting.title_of(group), results.model_row(group).parameters, *costs, clean, worst, under])
    caption = (
        f"{reporting.TASK_TITLES[task]}: what each model costs and what it is worth. 1 MAC = one multiply-add = 2 FLOP, per image "
        "of the data, from pixels to raw output."
    )
    return Table(cells_of(columns, rows), caption, f"complexity-table-{task}", notes.notes, task, title="What each model costs")


def _clean(results: Results, group: Group, metric: str, notes: Footnotes) -> Number:
    return reporting.metric_cell(results, group, results.conditions(group.task, "clean")[0].name, metric, notes)


def _worst(results: Results, group: Group, metric: str, notes: Footnotes) -> tuple[Number | None, str]:
    """A rate's worst case within the budget of most attacks; of other metrics the worst value under one attack. None without attacks."""
    attacks = results.conditions(group.task, "attack")
    if not attacks:
        return None, ""
    worst = reporting.leading_worst_case(results, group, metric, notes)
    if worst is not None:
        return worst[1], f"each sample's worst attack of {reporting.budget_name(worst[0])}"
    shown: list[tuple[Condition, Number]] = [(a, reporting.metric_cell(results, group, a.name, metric, notes)) for a in attacks]
    valued = [(n.estimate.value, a.name, n) for a, n in shown if n.estimate.value is not None]
    if not valued:
        return shown[0][1], ""
    higher = results.metric(group, metric).higher_is_better
    _, name, number = (min if higher else max)(valued, key=lambda item: item[0])
    return number, name
