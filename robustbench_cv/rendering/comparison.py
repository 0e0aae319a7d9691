"""What two runs show beside each other: a table of every comparison, the samples that broke and were mended, a verdict in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from robustbench_cv.compare import Comparison, Comparisons, Spread
from robustbench_cv.files import write_bytes, write_json
from robustbench_cv.metrics.metric import Estimate, Unit
from robustbench_cv.rendering.aligned import aligned
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of

_COLUMNS = (
    "model",
    "condition",
    "metric",
    "base",
    "new",
    "new − base",
    "p (Holm)",
    "broken",
    "mended",
    "n",
    "outcome",
    "samples to settle",
)

_SEEDS = ("base, over seeds", "new, over seeds")


def table(comparisons: Comparisons) -> Table:
    """A row a comparison, regressions first, then what is inconclusive."""
    notes = Footnotes()
    order = {"regression": 0, "inconclusive": 1, "pass": 2}
    rows = [_row(row, comparisons, notes) for row in sorted(comparisons.rows, key=lambda row: order[row.outcome])]
    caption = (
        f"The new run against the base, on the same samples, with 95 % intervals. Margin: a loss of {100 * comparisons.margin:g} points. "
        "Regression: the loss exceeds the margin (p corrected for all rows, Holm); pass: it does not reach it; inconclusive: these "
        "samples do not tell. Broken, mended: samples that only the base, or only the new model has right."
    )
    columns = [*_COLUMNS, *(_SEEDS if _has_seeds(comparisons) else ())]
    return Table(cells_of(columns, rows), caption, "comparison", notes.notes, blocks="model", title="Comparison")


def _row(row: Comparison, comparisons: Comparisons, notes: Footnotes) -> list[Cell]:
    result = row.result
    unit = comparisons.new.metric_row(row.new.task, row.metric).unit
    check = row.blocked.partition(" ")[0]
    sides = ((result.base, False), (result.new, False), (result.change, True))
    numbers = [Number(estimate, unit, signed=signed, blocked=check) for estimate, signed in sides]
    mark = notes.warning(f"{row.failed} samples failed in one of the runs: no comparison with them passes.") if row.failed else ""
    if row.blocked:
        mark += notes.warning(f"{row.blocked}: a comparison of such numbers decides nothing.")
    elif row.unchanged:
        mark += notes.remark("the same weights gave every sample the same answer.")
    elif row.within_seeds:
        mark += notes.remark("the difference is no larger than what another seed alone makes.")
    elif result.change.reason or result.change.caution:
        mark += notes.remark(f"{result.change.reason or result.change.caution}.")
    settle: Cell = settling(row, comparisons)
    seeds = [_spread(s, unit) for s in (row.base_seeds, row.new_seeds)] if _has_seeds(comparisons) else []
    counts: list[Cell] = [len(row.broken), len(row.mended)] if result.mcnemar is not None else [None, None]
    return [
        _title(row),
        row.condition,
        row.metric,
        *numbers,
        f"{row.adjusted:.3g}",
        *counts,
        result.change.n,
        f"{row.outcome}{mark}",
        settle,
        *seeds,
    ]


def _has_seeds(comparisons: Comparisons) -> bool:
    return any(row.base_seeds or row.new_seeds for row in comparisons.rows)


def _spread(spread: Spread | None, unit: Unit) -> str | None:
    """From the least to the greatest of the runs."""
    if spread is None:
        return None
    low, high = (Number(Estimate(value, None, None, 0), unit).value for value in (spread.low, spread.high))
    return f"{low} to {high} ({spread.runs} runs)"


def _title(row: Comparison) -> str:
    name = row.new.model if row.base.model == row.new.model else f"{row.new.model} against {row.base.model}"
    return f"{name} on {row.new.dataset}"


def settling(row: Comparison, comparisons: Comparisons) -> str | None:
    """About how many more samples would decide an inconclusive comparison, in words; None where it is decided."""
    if row.outcome != "inconclusive":
        return None
    needed = None if row.blocked else row.result.samples_needed(len(comparisons.rows))
    return "no reasonable number" if needed is None else f"about {max(0, needed - row.result.change.n):,} more"


def text(comparisons: Comparisons) -> str:
    """For a terminal: a line for each comparison, what did not pass first, under a line for each model; the verdict at the end."""
    order = {"regression": 0, "inconclusive": 1, "pass": 2}
    lines: list[str] = []
    for title in dict.fromkeys(_title(row) for row in comparisons.rows):
        rows = sorted((row for row in comparisons.rows if _title(row) == title), key=lambda row: order[row.outcome])
        cells = [["condition", "metric", "base", "new", "new − base", "n", "outcome"], *(_line(row, comparisons) for row in rows)]
        lines += [title, *aligned(cells, indent="  "), ""]
    return "\n".join([*lines, *_corrected(comparisons), verdict(comparisons)])


def _corrected(comparisons: Comparisons) -> list[str]:
    """Why an interval may leave out the margin where its outcome is not decided; nothing of one comparison alone."""
    count = len(comparisons.rows)
    if count < 2:
        return []
    margin = f"{comparisons.margin:.3g}"
    return [
        f"Outcomes are corrected for {count} comparisons (Holm), intervals are of each alone: one that leaves out the margin of",
        f"{margin} can still be inconclusive.",
        "",
    ]


def _line(row: Comparison, comparisons: Comparisons) -> list[str]:
    unit = comparisons.new.metric_row(row.new.task, row.metric).unit
    result = row.result
    base, new = (Number(replace(e, low=None, high=None), unit).text for e in (result.base, result.new))
    more = settling(row, comparisons)
    settle = f"; {more}{' samples' if more.endswith('more') else ' of samples'} would tell" if more and not row.blocked else ""
    moved = f" ({len(row.broken)} broke, {len(row.mended)} mended)" if row.broken or row.mended else ""
    why = f" ({row.blocked})" if row.blocked else f" ({row.failed} samples failed)" if row.failed else ""
    outcome = f"{row.outcome}{why or moved}{settle}"
    return [row.condition, row.metric, base, new, Number(result.change, unit, signed=True).text, f"{result.change.n:,}", outcome]


def verdict(comparisons: Comparisons) -> str:
    """One sentence: the outcome, and which comparisons brought it about."""
    by = {kind: [row for row in comparisons.rows if row.outcome == kind] for kind in ("regression", "inconclusive", "pass")}
    counts = ", ".join(f"{len(rows)} {kind}" for kind, rows in by.items() if rows)
    shown = by[comparisons.outcome][:3]
    named = []
    for title in dict.fromkeys(map(_title, shown)):  # models once, before their conditions
        under = ", ".join(f"{row.condition} ({row.metric})" for row in shown if _title(row) == title)
        named.append(f"{title} under {under}")
    which = f": {'; '.join(named)}" if comparisons.outcome != "pass" else ""
    more = len(by[comparisons.outcome]) - len(shown)
    return f"{comparisons.outcome}{which}{f' and {more} more' if which and more > 0 else ''} ({counts})"


def markdown(comparisons: Comparisons) -> str:
    """For a pull request: the verdict, what was left out, and the table."""
    differences = "".join(f"\n- left out: {text}" for text in comparisons.differences)
    return f"**{verdict(comparisons)}**\n{differences}\n\n{table(comparisons).to_markdown()}\n"


def write(comparisons: Comparisons, folder: Path) -> list[Path]:
    """comparison.md, comparison.csv and samples.json (ids that broke and were mended, by model, condition and metric, and the pictures
    that the new run kept of them)."""
    paths = [folder / "comparison.md", folder / "comparison.csv", folder / "samples.json"]
    write_bytes(paths[0], markdown(comparisons).encode())
    write_bytes(paths[1], table(comparisons).to_csv().encode())
    kept = {(p.group, p.condition, p.sample): str(p.after) for p in comparisons.new.pictures()}
    moved = []
    for row in (row for row in comparisons.rows if row.broken or row.mended):
        where = {"model": row.new.model, "dataset": row.new.dataset, "condition": row.condition, "metric": row.metric}
        keys = [(row.new, row.condition, sample) for sample in (*row.broken, *row.mended)]
        pictures = {key[2]: kept[key] for key in keys if key in kept}
        moved.append(where | {"broken": row.broken, "mended": row.mended, "pictures": pictures})
    write_json(paths[2], moved)
    return paths
