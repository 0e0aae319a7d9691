"""Cells in columns of plain text, for terminals."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], *, indent: str = "") -> list[str]:
    """A line a row, each column as wide as its longest cell.

    >>> aligned([["metric", "n"], ["top-1", "64"]])
    ['metric  n', 'top-1   64']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
