"""Where a report is printed: widths in which tables and figures must fit, and sizes of letters.

The widths are those of common templates: two columns of 3.25 inches on letter paper as of computer vision conferences, one of 5.5 inches
as of machine learning conferences, and a slide of 16 × 9 cm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Name: TypeAlias = Literal["one-column", "two-column", "slides"]
NAMES: tuple[Name, ...] = get_args(Name)

POINTS = 72.27
"""TeX's points to an inch."""


@dataclass(frozen=True, kw_only=True)
class Venue:
    """column: inches that a table or figure of the text may take; full: those of a page's text. body: size of the text, in points.

    rows: lines that a float may take. highest: inches that a figure may take. text: size of its letters, in points.
    """

    name: Name
    column: float
    full: float
    body: int
    rows: int
    geometry: str
    highest: float
    text: float

    @property
    def column_points(self) -> float:
        return self.column * POINTS

    @property
    def full_points(self) -> float:
        return self.full * POINTS


VENUES: dict[Name, Venue] = {
    "two-column": Venue(
        name="two-column",
        column=3.25,
        full=6.875,
        body=10,
        rows=38,
        geometry="letterpaper, textwidth=6.875in, textheight=8.875in, columnsep=0.375in, centering",
        highest=7.5,
        text=7.5,
    ),
    "one-column": Venue(
        name="one-column",
        column=5.5,
        full=5.5,
        body=10,
        rows=42,
        geometry="letterpaper, textwidth=5.5in, textheight=9in, centering",
        highest=7.5,
        text=8.5,
    ),
    "slides": Venue(
        name="slides",
        column=5.7,
        full=5.7,
        body=10,
        rows=12,
        geometry="paperwidth=16cm, paperheight=9cm, textwidth=5.7in, textheight=7.4cm, centering",
        highest=2.1,
        text=9.0,
    ),
}
