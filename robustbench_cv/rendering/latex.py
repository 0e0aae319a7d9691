r"""Tables in LaTeX: booktabs and siunitx, fitted to the width of their column, as a float or broken over pages.

A table that is too wide has its texts wrapped; where that is not enough, its columns continue in a further panel under the same caption,
each with the leading columns again. Nothing is scaled, and nothing is hidden from TeX's warnings. Needed: \usepackage{booktabs, siunitx,
array, longtable}, and the two lines of `SETUP`.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from robustbench_cv.rendering import escape
from robustbench_cv.rendering.table_cells import Cell, Number, plain_text
from robustbench_cv.rendering.text_width import pieces, width

SETUP = r"""\sisetup{detect-weight = true, detect-family = true, retain-explicit-plus, group-digits = integer, group-minimum-digits = 4,
  group-separator = {,}, input-ignore = {,}, table-align-text-before = false, table-align-text-after = false}
\providecommand{\ci}[1]{{\fontsize{6}{7}\selectfont\mdseries #1}}"""
"""What the preamble needs besides the packages."""

SIZE, SMALL = 8.0, 6.0
"""Points of a table's letters (\footnotesize at 10 points), and of its intervals and marks."""

THIN = SMALL / 5
r"""Points of the thin space (\,) inside an interval."""

GAP = 2.5
"""Points on either side of a column."""

NAME = 60.0
"""Points that a column of names gets before it is wrapped."""

_OPENING = rf"\centering\footnotesize\setlength{{\tabcolsep}}{{{GAP:g}pt}}"

LONGEST = 900
"""Letters of a text in a table: what is longer is cut, and stands whole in the csv."""


@dataclass(frozen=True)
class Column:
    """A column as it will be set. heading: its group and its name. cells: by row. is_numeric: flush right."""

    heading: tuple[str, ...]
    cells: tuple[Cell, ...]
    is_numeric: bool
    points: float = 0.0
    is_wrapped: bool = False

    @property
    def has_numbers(self) -> bool:
        return any(isinstance(cell, Number) for cell in self.cells)

    @property
    def name(self) -> str:
        return self.heading[-1]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table as LaTeX needs it. blocks: heading and number of rows of each block. keys: leading columns that every panel repeats.

    stacked: intervals stand under their numbers, instead of beside them.
    """

    columns: tuple[Column, ...]
    blocks: tuple[tuple[str, int], ...]
    caption: str
    label: str
    notes: tuple[str, ...] = ()
    keys: int = 1
    stacked: bool = False


def float_table(grid: Grid, points: float, rows: int, *, is_starred: bool = False) -> str:
    """A table environment (or table*) no wider than `points`; in several, where it would take more than `rows` lines."""
    panels = fitted(grid, points)
    star = "*" if is_starred else ""
    lines: list[str] = []
    used = 0
    for i, panel in enumerate(panels):
        height = _height(grid, panel)
        if i == 0 or used + height > rows:
            if i:
                lines += [rf"\end{{table{star}}}", ""]
            lines += [rf"\begin{{table{star}}}[tbp]", _OPENING]
            lines += _caption(grid) if i == 0 else [rf"Table~\ref{{tab:{escape.slug(grid.label)}}}, continued.\par\smallskip"]
            used = 0
        else:
            lines.append(r"\par\medskip")
        used += height
        lines += [rf"\begin{{tabular}}{{{_specification(panel, grid)}}}", r"\toprule", *_head(panel, grid), r"\midrule"]
        lines += [*_body(panel, grid), r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *_notes(grid), rf"\end{{table{star}}}", ""])


def long_table(grid: Grid, points: float) -> str:
    """A longtable for a text of one column, no wider than `points`; further panels follow it."""
    lines: list[str] = [r"\begingroup" + _OPENING]
    for i, panel in enumerate(fitted(grid, points)):
        head = [*_head(panel, grid), r"\midrule"]
        label = rf"tab:{escape.slug(grid.label)}"
        first = rf"\caption{{{escape.latex(grid.caption)}}}\label{{{label}}}\\"
        lines.append(rf"\begin{{longtable}}{{{_specification(panel, grid)}}}")
        again = rf"\multicolumn{{{_spans(panel, grid)}}}{{@{{}}l@{{}}}}{{\emph{{Table~\ref{{{label}}}, continued.}}}}\\"
        lines += [first if i == 0 else again, r"\toprule", *head, r"\endfirsthead", again, r"\toprule", *head, r"\endhead"]
        lines += [r"\bottomrule", r"\endfoot", *_body(panel, grid), r"\end{longtable}"]
    return "\n".join([*lines, *_notes(grid), r"\par\bigskip\endgroup", ""])


def fitted(grid: Grid, points: float) -> list[tuple[Column, ...]]:
    """The columns with their widths, in as many panels as it takes for each to be no wider than `points`."""
    columns = tuple(replace(c, cells=tuple(_cut(cell) for cell in c.cells)) for c in grid.columns)
    keys, rest = columns[: grid.keys], columns[grid.keys :]
    whole = _fit((*keys, *rest), grid, points)
    if whole is not None:
        return [whole]
    panels: list[tuple[Column, ...]] = []
    left = list(rest)
    while left:
        take = len(left)
        while take > 1 and _fit((*keys, *left[:take]), grid, points) is None:
            take -= 1
        take = _whole_groups(left, take)
        made = _fit((*keys, *left[:take]), grid, points)
        panels.append(made if made is not None else _squeezed((*keys, *left[:take]), grid, points))
        left = left[take:]
    return panels


def _whole_groups(columns: Sequence[Column], take: int) -> int:
    """No more than `take` columns, and a group of headings not torn apart where that leaves any."""
    if take >= len(columns) or len(columns[0].heading) < 2:
        return take
    at = take
    while at > 0 and columns[at].heading[0] and columns[at - 1].heading[0] == columns[at].heading[0]:
        at -= 1
    return at or take


def _fit(columns: tuple[Column, ...], grid: Grid, points: float) -> tuple[Column, ...] | None:
    """Columns with widths of which the sum is at most `points`; None where that takes breaking a word or a number."""
    room = points - 2 * GAP * (_lines_of(columns, grid) - 1) - 1.0
    natural = _widths(columns, grid)
    if sum(natural) <= room:
        return tuple(replace(c, points=n) for c, n in zip(columns, natural, strict=True))
    least = [min(n, _least(c)) if _can_wrap(c) else n for c, n in zip(columns, natural, strict=True)]
    if sum(least) > room:
        return None
    return _shared_out(columns, natural, least, room)


def _shared_out(columns: tuple[Column, ...], natural: list[float], least: list[float], room: float) -> tuple[Column, ...]:
    """Texts get what they need least, and of the rest as much as they would take."""
    spare = room - sum(least)
    widths = list(least)
    while spare > 0.5:
        hungry = [i for i, n in enumerate(natural) if widths[i] < n - 0.1]
        if not hungry:
            break
        wanted = {i: natural[i] - widths[i] for i in hungry}
        # By the root of what is wanted: a text ten times as long gets three times the room.
        total = sum(n**0.5 for n in wanted.values())
        given = {i: min(wanted[i], spare * wanted[i] ** 0.5 / total) for i in hungry}
        for i, n in given.items():
            widths[i] += n
        spare -= sum(given.values())
    made = zip(columns, natural, widths, strict=True)
    return tuple(replace(c, points=w, is_wrapped=_can_wrap(c) and w < n - 0.1) for c, n, w in made)


def _squeezed(columns: tuple[Column, ...], grid: Grid, points: float) -> tuple[Column, ...]:
    """One column beside the keys, which together are too wide: texts share what the numbers leave, words broken where they must be."""
    room = points - 2 * GAP * (_lines_of(columns, grid) - 1) - 1.0
    fixed = sum(_natural(c, grid) for c in columns if not _can_wrap(c))
    texts = [c for c in columns if _can_wrap(c)]
    each = max(20.0, (room - fixed) / max(1, len(texts)))
    return tuple(replace(c, points=each, is_wrapped=True) if _can_wrap(c) else replace(c, points=_natural(c, grid)) for c in columns)


def _can_wrap(column: Column) -> bool:
    return not column.has_numbers and not column.is_numeric


def _widths(columns: Sequence[Column], grid: Grid) -> list[float]:
    """What each column takes unwrapped; the last of a group takes what the group's heading needs beyond its columns."""
    made = [_natural(column, grid) for column in columns]
    at = 0
    for name, part in itertools.groupby(c.heading[0] if len(c.heading) > 1 else "" for c in columns):
        n = len(list(part))
        room = sum(made[at : at + n]) + 2 * GAP * (n - 1)
        longest = max((width(word, SIZE) for word in name.split()), default=0.0)
        made[at + n - 1] += max(0.0, longest - room)
        at += n
    return made


def _natural(column: Column, grid: Grid) -> float:
    """The width that a column takes unwrapped: its cells, and the longest word of its heading."""
    cells = max((_cell_width(cell, column, grid) for cell in column.cells), default=0.0)
    heading = max((width(piece.strip(), SIZE) for piece in column.name.split()), default=0.0)
    return max(cells, heading)


def _cell_width(cell: Cell, column: Column, grid: Grid) -> float:
    if not isinstance(cell, Number):
        return width(plain_text(cell), SIZE)
    value = width(_bold_room(cell), SIZE) + width(cell.marks, SMALL)
    if not column.has_numbers or not cell.interval:
        return value
    interval = width(cell.interval.replace(" ", ""), SMALL) + THIN
    # The widest number sets the room of all, since they stand under one another by their decimal points.
    shown = [c for c in column.cells if isinstance(c, Number) and c.state == "shown"]
    widest = max(width(_bold_room(c) + "0", SIZE) for c in shown) + max(width(c.marks, SMALL) for c in shown)
    return max(value, widest, interval) if grid.stacked else max(value, widest) + 2 * GAP + interval


def _bold_room(cell: Number) -> str:
    return cell.value + ("0" if cell.best else "")


def _least(column: Column) -> float:
    """The narrowest that a text can be set: its longest piece."""
    texts = [plain_text(cell) for cell in column.cells]
    longest = max((width(piece.strip(), SIZE) for text in texts for piece in pieces(text)), default=0.0)
    heading = max((width(word, SIZE) for word in column.name.split()), default=0.0)
    return max(longest + 2.0, heading, min(NAME, max((width(text, SIZE) for text in texts), default=0.0)))


def _cut(cell: Cell) -> Cell:
    if isinstance(cell, str) and len(cell) > LONGEST:
        return cell[: LONGEST - 1].rstrip() + "…"
    return cell


def _lines_of(columns: Sequence[Column], grid: Grid) -> int:
    """Columns of the tabular: a number beside its interval takes two, of which the gap is counted with the cell."""
    return len(columns)


def _is_split(column: Column, grid: Grid) -> bool:
    """Whether the interval has a column of its own."""
    return not grid.stacked and any(isinstance(cell, Number) and cell.interval for cell in column.cells)


def _spans(columns: Sequence[Column], grid: Grid) -> int:
    return sum(2 if _is_split(c, grid) else 1 for c in columns)


def _specification(columns: Sequence[Column], grid: Grid) -> str:
    return "@{}" + "".join(_kind(c, grid) for c in columns) + "@{}"


def _kind(column: Column, grid: Grid) -> str:
    if column.is_wrapped:
        return rf">{{\raggedright\arraybackslash}}p{{{column.points:.1f}pt}}"
    if not column.has_numbers:
        return "r" if column.is_numeric else "l"
    shown = [c for c in column.cells if isinstance(c, Number) and c.state == "shown"]
    if not shown:
        return "r"
    return rf"S[table-format={_format([c.value for c in shown])}{_behind(shown)}]" + ("l" if _is_split(column, grid) else "")


def _behind(numbers: Sequence[Number]) -> str:
    """Room for the widest marks, which siunitx keeps out of a number's own, and for bold digits, which are wider."""
    marks = max((_upright(n.marks) for n in numbers), key=lambda text: width(text, SMALL), default="")
    bold = max((len(n.value) for n in numbers if n.best), default=0)
    raised = rf"\textsuperscript{{{escape.latex(marks)}}}" if marks else ""
    kern = rf"\hspace{{{bold * 0.7:.1f}pt}}" if bold else ""
    return f"{{{raised}{kern}}}" if raised or kern else ""


def _format(values: Sequence[str]) -> str:
    """siunitx's table-format: sign, digits before and after the point."""
    sign = "+" if any(v[0] in "+−-" for v in values) else ""
    parts = [v.lstrip("+−-").replace(",", "").partition(".") for v in values]
    return f"{sign}{max(len(p[0]) for p in parts)}.{max(len(p[2]) for p in parts)}"


def _head(columns: Sequence[Column], grid: Grid) -> Iterator[str]:
    spans = [2 if _is_split(c, grid) else 1 for c in columns]
    if len(columns[0].heading) == 2 and any(c.heading[0] for c in columns):
        at = itertools.accumulate(spans, initial=1)
        placed = [(c.heading[0], start, n, c.points) for c, start, n in zip(columns, at, spans, strict=False)]
        cells, rules = [], []
        for name, part in itertools.groupby(placed, key=lambda item: item[0]):
            group = list(part)
            n, room = sum(item[2] for item in group), sum(item[3] for item in group) + 2 * GAP * (len(group) - 1)
            cells.append(rf"\multicolumn{{{n}}}{{c}}{{{_stack(_heading_lines(name, room), 'c')}}}")
            if name:
                rules.append(rf"\cmidrule(lr){{{group[0][1]}-{group[0][1] + n - 1}}}")
        yield " & ".join(cells) + r" \\"
        yield " ".join(rules)
    names = []
    for column, n in zip(columns, spans, strict=True):
        if column.is_wrapped:
            names.append(_breaking(column.name))
            continue
        text = _stack(_heading_lines(column.name, column.points), "c" if column.has_numbers else "r" if column.is_numeric else "l")
        names.append(rf"\multicolumn{{{n}}}{{c}}{{{text}}}" if column.has_numbers else text)
    yield " & ".join(names) + r" \\"


def _heading_lines(text: str, room: float) -> list[str]:
    """Words filled into lines no wider than a column, as far as they can be broken."""
    lines: list[str] = []
    for word in text.split():
        if lines and width(f"{lines[-1]} {word}", SIZE) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _stack(lines: Sequence[str], side: str) -> str:
    made = [escape.latex(line) for line in lines]
    if len(made) < 2:
        return made[0] if made else ""
    return rf"\shortstack[{side}]{{{(chr(92) * 2).join(made)}}}"


def _body(columns: Sequence[Column], grid: Grid) -> Iterator[str]:
    """Rows under their blocks; in a panel of further columns, only those that say something there."""
    is_first = True
    for block, rows in rows_of(columns, grid):
        if not is_first:
            yield r"\addlinespace"
        if block:
            room = sum(c.points for c in columns) + 2 * GAP * (_spans(columns, grid) - 1)
            lines = _heading_lines(block, room * 0.85)  # bold letters are wider
            for line in lines:
                yield rf"\multicolumn{{{_spans(columns, grid)}}}{{@{{}}l@{{}}}}{{\textbf{{{escape.latex(line)}}}}} \\*"
        is_first = False
        for row in rows:
            yield from _row([c.cells[row] for c in columns], columns, grid)


def rows_of(columns: Sequence[Column], grid: Grid) -> Iterator[tuple[str, list[int]]]:
    """The blocks of a panel with the rows that are shown in it: of further columns, those that say something there."""
    start, is_part = 0, len(columns) < len(grid.columns)
    for block, n in grid.blocks:
        rows = [r for r in range(start, start + n) if not is_part or any(c.cells[r] not in (None, "") for c in columns[grid.keys :])]
        start += n
        if rows:
            yield block, rows


def _row(cells: Sequence[Cell], columns: Sequence[Column], grid: Grid) -> Iterator[str]:
    first = [part for cell, column in zip(cells, columns, strict=True) for part in _cell(cell, column, grid)]
    # A row that begins with "[" or "*" would be read as an argument of the \\ before it.
    lead = "{}" if first[0].startswith(("[", "*")) else ""
    under = [rf"{{{_interval(cell)}}}" if grid.stacked and isinstance(cell, Number) and cell.interval else "" for cell in cells]
    if not any(under):
        yield f"{lead}{' & '.join(first)} \\\\"
        return
    yield f"{lead}{' & '.join(first)} \\\\*[-1pt]"
    yield f"{' & '.join(under)} \\\\[1pt]"


def _cell(cell: Cell, column: Column, grid: Grid) -> Iterator[str]:
    """One cell of the tabular, or two where the interval has its own."""
    if not isinstance(cell, Number):
        text = _breaking(plain_text(cell)) if column.is_wrapped else escape.latex(plain_text(cell))
        yield f"{{{text}}}" if column.has_numbers and text else text
    else:
        marks = rf"{{\textsuperscript{{{escape.latex(_upright(cell.marks))}}}}}" if cell.marks else ""
        digits = cell.value.replace("−", "-").replace(",", "")
        shown = ("\\bfseries " if cell.best else "") + digits + marks
        yield shown if cell.state == "shown" else f"{{{escape.latex(cell.value)}{marks}}}"
    if _is_split(column, grid):
        yield _interval(cell) if isinstance(cell, Number) and cell.interval else ""


def _interval(cell: Number) -> str:
    return rf"\ci{{{escape.latex(cell.interval).replace(', ', ',' + chr(92) + ',')}}}"


def _upright(marks: str) -> str:
    """Raised letters as plain ones, which are raised again together with the other marks."""
    return unicodedata.normalize("NFKD", marks)


def _breaking(text: str) -> str:
    """A text with places where lines may end inside its long words."""
    return (
        "".join(escape.latex(piece) + (" " if piece != piece.rstrip() else r"\allowbreak{}") for piece in pieces(text))
        .strip()
        .removesuffix(r"\allowbreak{}")
    )


def _caption(grid: Grid) -> list[str]:
    return [rf"\caption{{{escape.latex(grid.caption)}}}", rf"\label{{tab:{escape.slug(grid.label)}}}", r"\par\smallskip"]


def _notes(grid: Grid) -> Iterator[str]:
    for note in grid.notes:
        yield rf"\par\smallskip\noindent\begin{{minipage}}{{\linewidth}}\raggedright\scriptsize {_breaking(note)}\end{{minipage}}"


def _height(grid: Grid, panel: Sequence[Column]) -> int:
    """Lines of a panel, about: its rows, headings, and its share of the caption and notes."""
    rows = sum(n for _, n in grid.blocks) * (2 if grid.stacked else 1) + sum(bool(name) for name, _ in grid.blocks)
    return rows + 4


def needs_pages(grid: Grid, points: float, rows: int) -> bool:
    """Whether a single panel is longer than a float may be."""
    return any(_height(grid, panel) > rows for panel in fitted(grid, points)) or any(
        c.is_wrapped and sum(len(plain_text(v)) for v in c.cells) > 40 * rows for panel in fitted(grid, points) for c in panel
    )
