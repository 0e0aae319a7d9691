"""A table on the page: sorted by value, its first column and its head in sight while it scrolls in a box of its own."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from robustbench_cv.rendering import escape
from robustbench_cv.rendering.table_cells import SUFFIXES, Cell, Number, Quantity

_PROSE = 44
"""Characters of the longest cell from which on a column is set as prose: wide enough to be read."""

_SHORT = 26
"""Characters up to which a cell is one line."""

_WORD = 30
"""Letters of one word from which on it may be broken: hashes, and nothing that anybody reads."""

_AMOUNT = re.compile(r"[+−-]?\d[\d,]*(\.\d+)?(/\d+)?")


@dataclass(frozen=True)
class Grid:
    """What a table shows: headings (group, name) and blocks of rows, all of one width. label: its anchor. numeric: columns set right.

    plain: a cell as text. folded: headings of blocks that are shown only on demand.
    """

    label: str
    title: str
    caption: str
    notes: tuple[str, ...]
    headings: Sequence[tuple[str, ...]]
    blocks: Sequence[tuple[str, Sequence[Sequence[Cell]]]]
    numeric: Sequence[bool]
    plain: Callable[[Cell], str]
    folded: frozenset[str] = frozenset()


def table_html(grid: Grid, words: Mapping[str, str]) -> str:
    """A <figure> around a <table>: all text escaped, classes instead of style. words: what metrics are called, by name."""
    return "\n".join(_lines(grid, words))


def _lines(grid: Grid, words: Mapping[str, str]) -> Iterator[str]:
    kinds = [_kind(grid, i) for i in range(len(grid.headings))]
    yield f'<figure class="table" id="{escape.html(grid.label)}">'
    yield f"<figcaption>{escape.html(in_words(grid.caption, words))}</figcaption>"
    open_, folded = ([b for b in grid.blocks if (b[0] in grid.folded) == fold] for fold in (False, True))
    if open_ or not folded:
        yield from _table(grid, open_, kinds, words, grid.title or grid.label)
    for block in folded:
        yield f"<details><summary>{escape.html(block[0])} <span>({len(block[1])})</span></summary>"
        yield from _table(grid, [("", block[1])], kinds, words, block[0])
        yield "</details>"
    if grid.notes:
        yield '<ul class="notes">' + "".join(f"<li>{_note(in_words(note, words))}</li>" for note in grid.notes) + "</ul>"
    yield "</figure>"


def _table(
    grid: Grid, blocks: Sequence[tuple[str, Sequence[Sequence[Cell]]]], kinds: Sequence[str], words: Mapping[str, str], name: str
) -> Iterator[str]:
    stacks = " stacks" if kinds.count("prose") + kinds.count("code") > 0 and len(kinds) > 2 else ""
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{escape.html(name)}"><table class="data{stacks}">'
    yield "<thead>"
    yield from _headings(grid.headings, kinds, words)
    yield "</thead>"
    labels = [in_words(heading[-1], words) for heading in grid.headings]
    for block, rows in blocks:
        yield "<tbody>"
        if block:
            yield f'<tr class="block"><th colspan="{len(kinds)}" scope="rowgroup"><span>{escape.html(block)}</span></th></tr>'
        for row in rows:
            cells = (
                _cell(cell, kind, label, words, grid.plain, first=i == 0)
                for i, (cell, kind, label) in enumerate(zip(row, kinds, labels, strict=True))
            )
            yield "<tr>" + "".join(cells) + "</tr>"
        yield "</tbody>"
    yield "</table></div>"


def _kind(grid: Grid, column: int) -> str:
    """ "num", "text short" (one line), "text", "prose" (long) or "code" (long words: hashes, specs)."""
    if grid.numeric[column]:
        return "num"
    texts = [grid.plain(row[column]) for _, rows in grid.blocks for row in rows]
    if any(len(word) > _WORD for text in texts for word in re.split(r"[\s/-]", text)):
        return "code"
    longest = max(map(len, texts), default=0)
    return "prose" if longest > _PROSE else "text" if longest > _SHORT else "text short"


def _headings(headings: Sequence[tuple[str, ...]], kinds: Sequence[str], words: Mapping[str, str]) -> Iterator[str]:
    if headings and len(headings[0]) == 2:
        spans = [(name, len(list(group))) for name, group in itertools.groupby(heading[0] for heading in headings)]
        cells = (
            f'<th colspan="{n}" class="group" scope="colgroup">{escape.html(name)}</th>'
            if name
            else f'<td colspan="{n}" class="blank"></td>'
            for name, n in spans
        )
        yield '<tr class="groups">' + "".join(cells) + "</tr>"
    names = (in_words(heading[-1], words) for heading in headings)
    cells = (f'<th scope="col" class="{kind}">{escape.html(name)}</th>' for name, kind in zip(names, kinds, strict=True))
    yield '<tr class="names">' + "".join(cells) + "</tr>"


def in_words(text: str, words: Mapping[str, str]) -> str:
    """A text with the names of metrics in words.

    >>> in_words("clean miou, %", {"miou": "mean IoU", "ap": "AP"}), in_words("hallucination-rate: a map", {"ap": "AP"})
    ('clean mean IoU, %', 'hallucination-rate: a map')
    """
    names = "|".join(re.escape(name) for name in sorted(words, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])({names})(?![\w-])", lambda found: words[found[0]], text) if names else text


def _cell(cell: Cell, kind: str, label: str, words: Mapping[str, str], plain: Callable[[Cell], str], *, first: bool) -> str:
    facts = f' data-label="{escape.html(label)}"' + _sort_value(cell, plain)
    if isinstance(cell, Number):
        value, marks = f'<span class="value">{escape.html(cell.value)}</span>', _marks(cell.marks)
        rest = marks if cell.blocked else f' <span class="interval">{escape.html(cell.interval)}{marks}</span>'
        return f'<td class="num {cell.state}"{facts}>{value}{rest}</td>'
    text = f"{in_words(cell.name, words)}{SUFFIXES[cell.unit]}" if isinstance(cell, Quantity) else plain(cell)
    if first and text:
        return f'<th scope="row" class="{kind}"{facts}>{escape.html(text)}</th>'
    return f'<td class="{kind}{"" if text else " empty"}"{facts}>{escape.html(text)}</td>'


def _sort_value(cell: Cell, plain: Callable[[Cell], str]) -> str:
    """What a column is sorted by where that is not its text; nothing where a number is blocked or undefined: it comes last."""
    value: float | None = None
    if isinstance(cell, Number):
        value = cell.estimate.value if cell.state == "shown" else math.nan
    elif isinstance(cell, int | float):
        value = float(cell)
    elif isinstance(cell, str) and (found := _AMOUNT.fullmatch(cell.strip())):
        over, _, under = found[0].replace(",", "").replace("−", "-").partition("/")
        value = float(over) / float(under or 1) if float(under or 1) else None
    if value is None:
        return ""
    return ' data-sort=""' if math.isnan(value) else f' data-sort="{value:.9g}"'


def _marks(marks: str) -> str:
    return f"<sup>{escape.html(unicodedata.normalize('NFKD', marks))}</sup>" if marks else ""


def _note(note: str) -> str:
    mark, _, text = note.partition(" ")
    if mark and not any(c.isascii() for c in mark):
        return f"{_marks(mark)} {escape.html(text)}"
    return escape.html(note)
