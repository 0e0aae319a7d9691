"""What two runs show beside each other: a table of every comparison, the samples that broke and were mended, a verdict in words."""

from __future__ import annotations

from pathlib import Path

from robustbench_cv.compare import Comparison, Comparisons
from robustbench_cv.files import write_bytes, write_json
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
    return Table(cells_of(_COLUMNS, rows), caption, "comparison", notes.notes, blocks="model", title="Comparison")


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
    elif result.change.reason or result.change.caution:
        mark += notes.remark(f"{result.change.reason or result.change.caution}.")
    needed = result.samples_needed(len(comparisons.rows)) if row.outcome == "inconclusive" and not row.blocked else None
    undecided = row.outcome == "inconclusive"
    settle: Cell = (
        None if not undecided else "no reasonable number" if needed is None else f"about {max(0, needed - result.change.n):,} more"
    )
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
    ]


def _title(row: Comparison) -> str:
    name = row.new.model if row.base.model == row.new.model else f"{row.new.model} against {row.base.model}"
    return f"{name} on {row.new.dataset}"


def verdict(comparisons: Comparisons) -> str:
    """One sentence: the outcome, and which comparisons brought it about."""
    by = {kind: [row for row in comparisons.rows if row.outcome == kind] for kind in ("regression", "inconclusive", "pass")}
    counts = ", ".join(f"{len(rows)} {kind}" for kind, rows in by.items() if rows)
    named = [f"{_title(row)} under {row.condition} ({row.metric})" for row in by[comparisons.outcome]][:3]
    which = f": {'; '.join(named)}" if comparisons.outcome != "pass" else ""
    more = len(by[comparisons.outcome]) - len(named)
    return f"{comparisons.outcome}{which}{f' and {more} more' if which and more > 0 else ''} ({counts})"


def write(comparisons: Comparisons, folder: Path) -> list[Path]:
    """comparison.md, comparison.csv and samples.json (ids that broke and were mended, by model, condition and metric)."""
    made = table(comparisons)
    paths = [folder / "comparison.md", folder / "comparison.csv", folder / "samples.json"]
    differences = "".join(f"\n- left out: {text}" for text in comparisons.differences)
    write_bytes(paths[0], f"**{verdict(comparisons)}**\n{differences}\n\n{made.to_markdown()}\n".encode())
    write_bytes(paths[1], made.to_csv().encode())
    moved = [
        {"model": row.new.model, "dataset": row.new.dataset, "condition": row.condition, "metric": row.metric}
        | {"broken": row.broken, "mended": row.mended}
        for row in comparisons.rows
        if row.broken or row.mended
    ]
    write_json(paths[2], moved)
    return paths
