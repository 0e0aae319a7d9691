"""Accuracy against cost, clean and attacked. After Canziani, Paszke and Culurciello, 2016, https://arxiv.org/abs/1605.07678, figure 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas

from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.cells import Cell, Footnotes, Number
from robustbench_cv.rendering.figures import INK, MUTED, PALETTE, RULE, Chart, percent_axis, say, shortened, spread
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Report, Results
from robustbench_cv.suite import Condition
from robustbench_cv.types import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZES = (60.0, 900.0)
"""Areas of the smallest and largest bubble that is drawn, in square points; between them area is proportional to parameters."""

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
        values = clean.estimate.value, None if worst is None else worst.estimate.value
        macs = None if cost is None else cost.macs
        rows.append((group.model, group.dataset, results.model_row(group).parameters, macs, *values, under))
    frame = pandas.DataFrame(rows, columns=["model", "dataset", "parameters", "macs", "clean", "worst", "worst under"])
    frame = frame.astype({"parameters": float, "macs": float, "clean": float, "worst": float})
    percent = reporting.unit_of(metric) == "percent"
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} against multiply-adds per image (1 MAC = 2 FLOP). Full circles: clean images; "
        "open circles: the worst case over the attacks. The area of a circle is proportional to the parameters."
    )
    every = (*missing, *notes.notes)
    return Chart(
        frame, lambda axes, f: _draw(axes, f, metric, percent=percent), caption, f"complexity-{task}", every, task, "Complexity", (6.4, 3.9)
    )


def _draw(axes: Axes, frame: pandas.DataFrame, metric: str, *, percent: bool) -> None:
    drawn = frame[frame["macs"].notna() & (frame["macs"] > 0) & frame["clean"].notna()].sort_values("macs", kind="stable")
    axes.set_xlabel("GMAC per image, at the data's own image size")
    axes.set_ylabel(metric)
    if percent:
        axes.set_ylim(-0.08, 1.08)  # room for a large circle at either end
        percent_axis(axes.yaxis)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if drawn.empty:
        say(axes, "no model here has both a clean number and a count of its multiply-adds")
        axes.set_xticks([])
        return
    several = drawn["dataset"].nunique() > 1
    labels = []
    for i, row in enumerate(drawn.to_dict("records")):
        hue, x = PALETTE[i % len(PALETTE)], row["macs"] / 1e9
        area = _area(row["parameters"], float(drawn["parameters"].max()))
        if row["worst"] == row["worst"]:
            axes.plot([x, x], [row["worst"], row["clean"]], color=hue, linewidth=1.2, alpha=0.4, zorder=1)
            axes.scatter(x, row["worst"], s=area, facecolor="white", edgecolor=hue, linewidth=1.6, zorder=2, clip_on=False)
        axes.scatter(x, row["clean"], s=area, color=hue, alpha=0.85, linewidth=0, zorder=3, clip_on=False)
        name = f"{row['model']} · {row['dataset']}" if several else str(row["model"])
        labels.append((x, float(row["clean"]), f"{shortened(name, 28)}, {_count(row['parameters'])}", hue))
    axes.set_xscale("log")
    xs = drawn["macs"] / 1e9
    axes.set_xlim(float(xs.min()) / 2.2, float(xs.max()) * 2.2)
    _plain_ticks(axes)
    _label(axes, labels)


def _area(parameters: float, most: float) -> float:
    """Proportional to the parameters; a model 15 times smaller than the largest, or more, gets the smallest circle that can be seen."""
    return max(_SIZES[0], _SIZES[1] * parameters / most)


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="both", bottom=True, color=RULE)


def _label(axes: Axes, labels: list[tuple[float, float, str, str]]) -> None:
    """Names at the right of the panel, at the height of their clean circles, with a thin line to each."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.06
    ordered = sorted(labels, key=lambda label: (label[1], label[2]))
    places = spread([label[1] for label in ordered], gap, low + gap / 2, high - gap / 2)
    for (x, y, text, hue), place in zip(ordered, places, strict=True):
        axes.annotate(
            text,
            (x, y),
            xytext=(1.02, place),
            textcoords=axes.get_yaxis_transform(),
            color=INK,
            va="center",
            fontsize=8,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": hue or MUTED, "alpha": 0.45, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 6},
        )


def _count(parameters: float) -> str:
    """Parameters in thousands or millions.

    >>> _count(138_357_544), _count(61_150)
    ('138 M', '61.2 k')
    """
    return f"{parameters / 1e6:.3g} M" if parameters >= 1e6 else f"{parameters / 1e3:.3g} k"


def _table(results: Results, task: Task) -> Table:
    metric, notes = results.metrics(task)[0], Footnotes()
    heading = reporting.heading_of(metric)
    columns = ["model", "parameters", "GMAC", "GFLOP", "image", f"clean {heading}", f"worst {heading}", "worst under"]
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
    return Table(cells_of(columns, rows), caption, f"complexity-table-{task}", notes.notes, task, title="Complexity")


def _clean(results: Results, group: Group, metric: str, notes: Footnotes) -> Number:
    return reporting.shown(results, group, results.conditions(group.task, "clean")[0].name, metric, notes)


def _worst(results: Results, group: Group, metric: str, notes: Footnotes) -> tuple[Number | None, str]:
    """A rate's per-sample worst case; of other metrics the worst value under one attack, with its name. None without attacks."""
    attacks = results.conditions(group.task, "attack")
    if not attacks:
        return None, ""
    worst = reporting.shown_worst_case(results, group, metric, notes)
    if worst is not None:
        return worst, "each sample's worst attack"
    shown: list[tuple[Condition, Number]] = [(a, reporting.shown(results, group, a.name, metric, notes)) for a in attacks]
    valued = [(n.estimate.value, a.name, n) for a, n in shown if n.estimate.value is not None]
    if not valued:
        return shown[0][1], ""
    higher = results.metric(group, metric).higher_is_better
    _, name, number = (min if higher else max)(valued, key=lambda item: item[0])
    return number, name
