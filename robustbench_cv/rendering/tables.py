"""Tables: a frame of cells with a caption, written as csv, Markdown, HTML and LaTeX."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas

from robustbench_cv.metrics.metric import Unit
from robustbench_cv.rendering import escape, latex
from robustbench_cv.rendering.table_cells import SUFFIXES, Cell, Number, Quantity, plain_text
from robustbench_cv.rendering.table_html import Grid, table_html
from robustbench_cv.rendering.text_width import BREAKABLE
from robustbench_cv.rendering.venues import VENUES, Venue
from robustbench_cv.tasks import Task


@dataclass(frozen=True, eq=False)
class Table:
    """Cells by row and column, with what a reader needs to judge them.

    frame: cells are Number, Quantity, str, int, float or None (empty), see `cells_of`; a two-level column index gives grouped headings.
    Columns are named without a unit: on the page it is that of their numbers, and in the csv rates are shares.
    _: KW_ONLY
    blocks: the column whose runs of equal values are row-blocks: a heading over each block on the page, a column in the csv.
    label: unique within a report; names files and anchors. task: the section it belongs to, None for the run as a whole.
    in_text: a paper's text shows it, narrow and with intervals under their numbers; any other stands in the supplement. folded: blocks that
    the page shows only on demand. cautions: those of the notes without which numbers are misread: a terminal shows them, too.
    """

    frame: pandas.DataFrame
    caption: str
    label: str
    notes: tuple[str, ...] = ()
    task: Task | None = None
    blocks: str | None = None
    title: str = ""
    in_text: bool = False
    folded: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    def to_csv(self) -> str:
        """Every value in full: a Number becomes value, low, high, n, excluded and status columns."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        numeric = [any(isinstance(v, Number) for v in self.frame.iloc[:, i]) for i in range(self.frame.shape[1])]
        names = [" ".join(part for part in heading if part) for heading in _headings(self.frame)]
        headings = [n for name, is_number in zip(names, numeric, strict=True) for n in _csv_names(name, is_number)]
        writer.writerow([escape.csv_cell(heading) for heading in headings])
        for row in self.frame.itertuples(index=False, name=None):
            writer.writerow([v for cell, is_number in zip(row, numeric, strict=True) for v in _csv_values(cell, is_number)])
        return out.getvalue()

    def to_markdown(self) -> str:
        """A GitHub-flavoured pipe table, caption above and notes below."""
        shown = _shown_columns(self)
        names = [escape.markdown(": ".join(part for part in _with_units(self.frame)[i] if part)) for i in shown]
        rules = ["---:" if _is_numeric(self.frame, i) else "---" for i in shown]
        lines = [f"**{escape.markdown(self.caption)}**", "", _pipes(names), _pipes(rules)]
        for block, rows in _blocks(self):
            if block:
                lines.append(_pipes([f"**{escape.markdown(block)}**", *[""] * (len(shown) - 1)]))
            lines += [_pipes([_markdown_cell(row[i]) for i in shown]) for row in rows]
        notes = [f"<sub>{escape.markdown(note)}</sub>  " for note in self.notes]
        return "\n".join([*lines, "", *notes, ""] if notes else [*lines, ""])

    def to_html(self, words: Mapping[str, str] | None = None) -> str:
        """A <figure> around a <table>: all text escaped, classes instead of style. words: what metrics are called, by name."""
        return table_html(_grid(self), words or {})

    def to_latex(self, venue: Venue = VENUES["two-column"]) -> str:
        """A float as wide as a column of the venue, or a longtable as wide as its page; see `latex` for what the preamble needs."""
        grid = self.grid()
        if self.in_text and not latex.needs_pages(grid, venue.column_points, venue.rows):
            return latex.float_table(grid, venue.column_points, venue.rows)
        return latex.long_table(grid, venue.full_points)

    def grid(self) -> latex.Grid:
        """The table as it is fitted to a width."""
        return _grid_of(self)

    def is_float(self, venue: Venue) -> bool:
        """Whether `to_latex` makes a float, which may stand among columns; a longtable needs a page of one column."""
        return self.in_text and not latex.needs_pages(self.grid(), venue.column_points, venue.rows)


def cells_of(columns: Sequence[str | tuple[str, str]], rows: Sequence[Sequence[Cell]]) -> pandas.DataFrame:
    """A frame that keeps every cell as it is (pandas would turn an integer beside an empty cell into a float).

    columns: names, or (group, name) pairs where any of them has a group.
    """
    if any(isinstance(name, tuple) for name in columns):
        pairs = [name if isinstance(name, tuple) else ("", name) for name in columns]
        return pandas.DataFrame(list(rows), columns=pandas.MultiIndex.from_tuples(pairs), dtype=object)
    return pandas.DataFrame(list(rows), columns=list(columns), dtype=object)


def _headings(frame: pandas.DataFrame) -> list[tuple[str, ...]]:
    names: list[object] = list(frame.columns)
    return [tuple(str(part) for part in name) if isinstance(name, tuple) else (str(name),) for name in names]


def _with_units(frame: pandas.DataFrame) -> list[tuple[str, ...]]:
    """Headings for people: the unit behind the name of a column whose numbers share one and no cell of whose rows names it."""
    names = _headings(frame)
    if any(isinstance(v, Quantity) for v in frame.to_numpy().ravel()):
        return names
    units: list[set[Unit]] = [{v.unit for v in frame.iloc[:, i] if isinstance(v, Number)} for i in range(len(names))]
    return [(*name[:-1], name[-1] + SUFFIXES[next(iter(one))]) if len(one) == 1 else name for name, one in zip(names, units, strict=True)]


def shown_headings(table: Table) -> list[tuple[str, ...]]:
    """The headings of the columns that a page shows: (name,) or (group, name), with units."""
    names = _with_units(table.frame)
    return [names[i] for i in _shown_columns(table)]


def shown_blocks(table: Table) -> Iterator[tuple[str, list[list[Cell]]]]:
    """Each row-block's heading and rows, of the columns that a page shows."""
    shown = _shown_columns(table)
    for name, rows in _blocks(table):
        yield name, [[row[i] for i in shown] for row in rows]


def _shown_columns(table: Table) -> list[int]:
    return [i for i, heading in enumerate(_headings(table.frame)) if heading[-1] != table.blocks]


def _blocks(table: Table) -> Iterator[tuple[str, list[tuple[Cell, ...]]]]:
    """Row-blocks: heading and rows. One block without a heading where the table has none."""
    rows = list(table.frame.itertuples(index=False, name=None))
    if table.blocks is None:
        yield "", rows
        return
    at = [heading[-1] for heading in _headings(table.frame)].index(table.blocks)
    for name, block in itertools.groupby(rows, key=lambda row: str(row[at])):
        yield name, list(block)


def _is_numeric(frame: pandas.DataFrame, column: int) -> bool:
    """Whether a column is set flush right: numbers, and texts made of digits such as 8/255."""
    cells = [v for v in frame.iloc[:, column] if v is not None and v != ""]
    return (
        bool(cells)
        and all(re.fullmatch(r"[\d.,/× ]+", v) for v in cells if isinstance(v, str))
        and not any(isinstance(v, Quantity) for v in cells)
    )


def _csv_names(name: str, is_number: bool) -> list[str]:
    return [name, *(f"{name} {part}" for part in ("low", "high", "n", "excluded", "status"))] if is_number else [name]


def _csv_values(cell: Cell, is_number: bool) -> list[str]:
    if isinstance(cell, Number):
        e, shown = cell.estimate, cell.state == "shown"
        digits = [repr(float(v)) if shown and v is not None else "" for v in (e.value, e.low, e.high)]
        status = {"shown": "ok", "blocked": cell.value, "undefined": f"undefined: {e.reason}"}[cell.state]
        if e.failed and shown:
            status = f"inconclusive: {e.failed} samples failed"
        return [*digits, str(e.n), str(e.excluded), escape.csv_cell(status)]
    text = "" if cell is None else cell.name if isinstance(cell, Quantity) else cell if isinstance(cell, str) else repr(cell)
    return [escape.csv_cell(text), *[""] * 5] if is_number else [escape.csv_cell(text)]


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_cell(cell: Cell) -> str:
    if isinstance(cell, Number):
        text = cell.text.replace("|", r"\|")
        return f"**{cell.value}**{text.removeprefix(cell.value)}" if cell.best else text
    return escape.markdown(plain_text(cell))


def _grid(table: Table) -> Grid:
    shown = _shown_columns(table)
    headings = _with_units(table.frame)
    return Grid(
        label=table.label,
        title=table.title,
        caption=table.caption,
        notes=table.notes,
        headings=[headings[i] for i in shown],
        blocks=[(name, [[row[i] for i in shown] for row in rows]) for name, rows in _blocks(table)],
        numeric=[_is_numeric(table.frame, i) for i in shown],
        plain=plain_text,
        folded=frozenset(table.folded),
    )


def _grid_of(table: Table) -> latex.Grid:
    shown = _shown_columns(table)
    headings, blocks = (_headings if table.in_text else _with_units)(table.frame), [(name, rows) for name, rows in _blocks(table)]
    rows = [row for _, part in blocks for row in part]
    columns = tuple(
        latex.Column(headings[i], tuple(row[i] for row in rows), _is_numeric(table.frame, i) and not _has_words(rows, i)) for i in shown
    )
    leading = next((k for k, column in enumerate(columns) if column.has_numbers), 1)
    return latex.Grid(
        columns=columns,
        blocks=tuple((name, len(part)) for name, part in blocks),
        caption=table.caption,
        label=table.label,
        notes=table.notes,
        keys=min(max(1, leading), 2, max(1, len(columns) - 1)),
        stacked=table.in_text,
    )


def _has_words(rows: Sequence[tuple[Cell, ...]], column: int) -> bool:
    """Whether any cell would be too long to be kept on one line, digits or not."""
    return any(isinstance(row[column], str) and len(plain_text(row[column])) > BREAKABLE for row in rows)
