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
from robustbench_cv.rendering import escape
from robustbench_cv.rendering.table_cells import SUFFIXES, Cell, Number, Quantity
from robustbench_cv.rendering.table_html import Grid, table_html
from robustbench_cv.tasks import Task

_LONG = 34
"""Characters beyond which a text column is wrapped in LaTeX."""


@dataclass(frozen=True, eq=False)
class Table:
    """Cells by row and column, with what a reader needs to judge them.

    frame: cells are Number, Quantity, str, int, float or None (empty), see `cells_of`; a two-level column index gives grouped headings.
    Columns are named without a unit: on the page it is that of their numbers, and in the csv rates are shares.
    _: KW_ONLY
    blocks: the column whose runs of equal values are row-blocks: a heading over each block on the page, a column in the csv.
    label: unique within a report; names files and anchors. task: the section it belongs to, None for the run as a whole. folded: blocks
    that the page shows only on demand.
    """

    frame: pandas.DataFrame
    caption: str
    label: str
    notes: tuple[str, ...] = ()
    task: Task | None = None
    blocks: str | None = None
    title: str = ""
    folded: tuple[str, ...] = ()

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

    def to_latex(self) -> str:
        r"""A table environment that needs \usepackage{booktabs} and nothing else."""
        return "\n".join(_latex_lines(self))


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


def _plain(cell: Cell) -> str:
    """A cell as text, thousands separated."""
    if isinstance(cell, Number | Quantity):
        return cell.text
    if cell is None or isinstance(cell, str):
        return cell or ""
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}"


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
    return cell.text.replace("|", r"\|") if isinstance(cell, Number) else escape.markdown(_plain(cell))


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
        plain=_plain,
        folded=frozenset(table.folded),
    )


def _latex_lines(table: Table) -> Iterator[str]:
    shown = _shown_columns(table)
    yield r"\begin{table}[htbp]"
    yield r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"
    yield rf"\caption{{{escape.latex(table.caption)}}}"
    yield r"\par\medskip"
    yield rf"\label{{tab:{escape.slug(table.label)}}}"
    # Wider than the text, it reaches into both margins alike.
    yield rf"\makebox[\linewidth]{{\begin{{tabular}}{{{_latex_columns(table, shown)}}}"
    yield r"\toprule"
    yield from _latex_headings(table, shown)
    for i, (block, rows) in enumerate(_blocks(table)):
        yield r"\midrule" if i == 0 else r"\addlinespace"
        if block:
            yield rf"\multicolumn{{{len(shown)}}}{{@{{}}l}}{{\textbf{{{escape.latex(block)}}}}} \\"
        for row in rows:
            yield " & ".join(_latex_cell(row[i]) for i in shown) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}}"
    for note in table.notes:
        yield rf"\par\smallskip\begin{{minipage}}{{\linewidth}}\raggedright\scriptsize {escape.latex(note)}\end{{minipage}}"
    yield r"\end{table}"
    yield ""


def _latex_headings(table: Table, shown: Sequence[int]) -> Iterator[str]:
    headings = [_with_units(table.frame)[i] for i in shown]
    if table.frame.columns.nlevels == 2:
        spans = [(name, len(list(group))) for name, group in itertools.groupby(heading[0] for heading in headings)]
        yield " & ".join(rf"\multicolumn{{{n}}}{{c}}{{{escape.latex(name)}}}" for name, n in spans) + r" \\"
        ends = list(itertools.accumulate(n for _, n in spans))
        yield " ".join(rf"\cmidrule(lr){{{e - n + 1}-{e}}}" for (name, n), e in zip(spans, ends, strict=True) if name)
    yield " & ".join(escape.latex(heading[-1]) for heading in headings) + r" \\"


def _latex_columns(table: Table, shown: Sequence[int]) -> str:
    """l for text, r for numbers, and p{...} for columns of long text, which share the width that the others leave."""
    longest = {i: max((len(_plain(v)) for v in table.frame.iloc[:, i]), default=0) for i in shown}
    wide = {i: min(n, 4 * _LONG) for i, n in longest.items() if n > _LONG and not _is_numeric(table.frame, i)}
    left = max(0.35, 0.96 - 0.012 * sum(n for i, n in longest.items() if i not in wide) - 0.015 * len(shown))
    shares = {i: rf"p{{{left * n / sum(wide.values()):.3f}\linewidth}}" for i, n in wide.items()}
    return "@{}" + "".join(shares.get(i, "r" if _is_numeric(table.frame, i) else "l") for i in shown) + "@{}"


def _latex_cell(cell: Cell) -> str:
    if isinstance(cell, Number) and cell.interval:
        return rf"{escape.latex(cell.value)} {{\scriptsize {escape.latex(cell.interval)}}}{escape.latex(cell.marks)}"
    text = " ".join(_latex_word(word) for word in _plain(cell).split())
    # A row that begins with "[" would be read as the optional argument of the \\ before it.
    return "{}" + text if text.startswith(("[", "*")) else text


def _latex_word(word: str) -> str:
    """A word; a long one, such as a hash, may be broken every eight characters."""
    if len(word) <= _LONG:
        return escape.latex(word)
    return r"\allowbreak{}".join(escape.latex(word[i : i + 8]) for i in range(0, len(word), 8))
