"""Tables as commands print them: as plain text for people, or in a form for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from robustbench_cv.cli.help_groups import HOW, option
from robustbench_cv.rendering.venues import VENUES, Venue

if TYPE_CHECKING:
    from robustbench_cv.rendering.tables import Table

FORMATS = ("text", "md", "tex", "csv", "html")

form = option(
    "--as",
    "kind",
    title=HOW,
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="What is printed: a plain table for people, or Markdown, LaTeX, csv or HTML.",
)


def written(table: Table, kind: str, venue: Venue = VENUES["two-column"]) -> str:
    """The whole table in one of FORMATS. venue: whose widths LaTeX is for."""
    from robustbench_cv.rendering.terminal_table import to_terminal

    if kind == "text":
        return to_terminal(table, whole=True)
    if kind == "tex":
        return table.to_latex(venue)
    return {"md": table.to_markdown, "csv": table.to_csv, "html": table.to_html}[kind]()
