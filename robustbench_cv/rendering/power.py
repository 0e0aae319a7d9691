"""Which losses a run would see, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_cv.power import Power
from robustbench_cv.rendering.table_cells import Cell
from robustbench_cv.rendering.tables import Table, cells_of


def power_table(rows: Sequence[Power], margin: float) -> Table:
    """A row each, in the order given; columns of models and conditions where the rows have such."""
    known = any(row.model for row in rows)
    names = ["task", *(["model", "condition"] if known else []), "metric", "n", "disagree, %", "sees a loss of, points"]
    needed = f"n for a loss of {200 * margin:g} points"
    assumed = any(row.assumed for row in rows)
    caption = (
        f"With a power of 90 %, a regression beyond a margin of {100 * margin:g} points is found at these losses, corrected for "
        f"{rows[0].comparisons if rows else 0} comparisons. Disagree: the share of samples on which the two models answer otherwise, "
        f"{'assumed, not measured' if assumed else 'as measured'}."
    )
    shown = cells_of([*names, *([needed] if margin else [])], [_cells(row, known=known, has_margin=margin > 0) for row in rows])
    unknown = any(row.sees is None and row.n is not None for row in rows)
    notes = (
        ("How far a sample moves a metric that is no rate is known from a run alone: robustbench-cv plan RUN --power.",) if unknown else ()
    )
    return Table(shown, caption, "power", notes, title="Power")


def _cells(row: Power, *, known: bool, has_margin: bool) -> list[Cell]:
    sees = "" if row.sees is None else "100" if row.sees >= 1 else f"{100 * row.sees:.1f}"
    share = None if row.disagree is None else f"{100 * row.disagree:.3g}"
    where: list[Cell] = [row.model, row.condition] if known else []
    needed: list[Cell] = [row.needed] if has_margin else []
    return [row.task, *where, row.metric, "all" if row.n is None else row.n, share, sees, *needed]
