"""A table for a terminal: at most 80 columns wide, plain text, what does not fit left to the report and said so."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robustbench_cv.rendering.table_cells import REMARKS, WARNINGS, Cell, Number, Quantity
from robustbench_cv.rendering.table_html import in_words
from robustbench_cv.rendering.tables import Table, shown_blocks, shown_headings
from robustbench_cv.terminal import elide, one_line

WIDTH = 80
_LABEL, _HEADING, _CELL = 30, 11, 24
"""Most characters of a row's name, of a line of a heading, and of any other cell."""
_FIRST = ("attack strength", "verdict")
"""Columns that matter more than their place says."""
_LAST = ("excluded", "norm", "budget", "steps", "forwards", "backwards")
"""Columns that are of interest where there is room: what they say is in the condition's name, or in the report."""


@dataclass(frozen=True)
class _Column:
    heading: list[str]
    cells: list[str]
    is_number: bool

    @property
    def width(self) -> int:
        return max(map(len, [*self.heading, *self.cells]), default=0)

    def line(self, text: str) -> str:
        return text.rjust(self.width) if self.is_number else text.ljust(self.width)


def to_terminal(table: Table, width: int = WIDTH, *, whole: bool = False, words: Mapping[str, str] | None = None) -> str:
    """The table with its most telling columns, the notes that its marks stand for, and the names of the columns left out.

    whole: every column, however wide they are together. words: what people call the metrics that the caption names.
    """
    blocks = list(shown_blocks(table))
    rows = [row for _, block in blocks for row in block]
    names = shown_headings(table)
    columns = [_column(name, [row[i] for row in rows], _LABEL if i == 0 else _CELL) for i, name in enumerate(names)]
    chosen = list(range(len(columns))) if whole else _chosen(columns, names, width)
    lines = [*_wrapped(in_words(_first_sentence(table.caption), words or {}), width), ""]
    height = max(len(columns[i].heading) for i in chosen)
    for k in range(height):
        heading = [columns[i].line(([""] * (height - len(columns[i].heading)) + columns[i].heading)[k]) for i in chosen]
        lines.append("  ".join(heading).rstrip())
    lines.append("  ".join("-" * columns[i].width for i in chosen))
    at = 0
    for title, block in blocks:
        if title:
            lines += [*([""] if at else []), elide(one_line(title), width)]
        for k in range(at, at + len(block)):
            lines.append("  ".join(columns[i].line(columns[i].cells[k]) for i in chosen).rstrip())
        at += len(block)
    shown = " ".join(cell for i in chosen for cell in columns[i].cells)
    notes = [note for note in table.notes if note in table.cautions or (_mark(note) and _mark(note) in shown)]
    for note in notes:
        lines += _wrapped(note, width)
    left_out = [names[i][-1] for i in range(len(names)) if i not in chosen and set(columns[i].cells) - {"", "0"}]
    if left_out:
        lines += _wrapped(f"The report also has: {', '.join(dict.fromkeys(left_out))}.", width)
    return "\n".join([*lines, ""])


def _chosen(columns: Sequence[_Column], names: Sequence[tuple[str, ...]], width: int) -> list[int]:
    """Positions, in order: the first two, and of the others as many as fit, the most telling first."""

    def rank(i: int) -> int:
        plain = names[i][-1].partition(",")[0]
        return 0 if i < 2 else 1 if plain in _FIRST else 3 if plain in _LAST else 2

    plain_names = [name[-1].partition(",")[0] for name in names]

    def base_of(i: int) -> int | None:
        """The column that one such as "rate: placebo" is to be compared with, and says nothing without."""
        base, colon, _ = plain_names[i].partition(": ")
        return plain_names.index(base) if colon and base in plain_names else None

    chosen: list[int] = []
    room = width
    for i in sorted(range(len(columns)), key=lambda i: (rank(i), i)):
        cells = {cell for cell in columns[i].cells if cell}
        if i > 1 and (not cells or cells == {"0"}):
            continue
        if (of := base_of(i)) is not None and of not in chosen:
            continue
        needed = columns[i].width + (2 if chosen else 0)
        if i < 2 or needed <= room:
            chosen.append(i)
            room -= needed
    return sorted(chosen)


def _column(name: tuple[str, ...], cells: Sequence[Cell], widest: int) -> _Column:
    texts = [elide(one_line(_plain(cell)), widest) for cell in cells]
    heading = textwrap.wrap(": ".join(part for part in name[-1:] if part), _HEADING, break_long_words=False) or [""]
    numeric = any(isinstance(cell, Number | int | float) for cell in cells)
    return _Column(heading, texts, numeric)


def _plain(cell: Cell) -> str:
    if isinstance(cell, Number | Quantity):
        return cell.text
    if cell is None or isinstance(cell, str):
        return cell or ""
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[a-z\)])\. ", text, maxsplit=1)[0].rstrip(".")


def _mark(note: str) -> str:
    """The mark that a note begins with; "" for a note of the whole table."""
    mark = note.partition(" ")[0]
    return mark if set(mark) <= set(WARNINGS + REMARKS) else ""


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(one_line(text), width, subsequent_indent="  ")
