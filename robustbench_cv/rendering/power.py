"""Which losses a run would see, as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_cv.power import Power
from robustbench_cv.rendering.aligned import aligned


def power_text(rows: Sequence[Power], margin: float) -> str:
    """A line each, in the order given, under what they rest on."""
    known = any(row.model for row in rows)
    names = ["task", *(["model", "condition"] if known else []), "metric", "n", "disagree", "sees a loss of"]
    if margin:
        names.append(f"n to see {200 * margin:g} points")
    assumed = any(row.assumed for row in rows)
    lines = [
        f"With a power of 90 %, these losses are called a regression (margin {100 * margin:g} points, corrected for "
        f"{rows[0].comparisons if rows else 0} comparisons).",
        f"disagree: the share of samples on which the two models answer otherwise, {'assumed: --disagree' if assumed else 'as measured'}.",
        "",
        *aligned([names, *(_cells(row, known=known, has_margin=margin > 0) for row in rows)]),
    ]
    if any(row.sees is None for row in rows if row.n is not None):
        lines += ["", "How far a sample moves a metric that is no rate, its records tell: robustbench-cv plan RUN --power."]
    return "\n".join(lines)


def _cells(row: Power, *, known: bool, has_margin: bool) -> list[str]:
    sees = "?" if row.sees is None else "none" if row.sees >= 1 else f"{100 * row.sees:.1f} points"
    share = "?" if row.disagree is None else f"{100 * row.disagree:.3g} %"
    needed = ["?" if row.needed is None else f"{row.needed:,}"] if has_margin else []
    where = [row.model, row.condition] if known else []
    return [row.task, *where, row.metric, "all" if row.n is None else f"{row.n:,}", share, sees, *needed]
