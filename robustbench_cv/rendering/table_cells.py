"""Cells of tables: numbers that stay estimates until they are rendered, and the marks of their footnotes.

Rates are 0-1 in a frame and in a csv, percent on the page. A blocked or undefined number has no digits in any format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from robustbench_cv.metrics.metric import Estimate, Unit

UNDEFINED = "–"

WARNINGS, REMARKS = "†‡§¶", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖ"
"""Of which the marks of footnotes are made."""

SUFFIXES: dict[Unit, str] = {"rate": ", %", "count": "", "count per image": ", per image", "pixels": ", px", "score": ""}
"""What stands behind a name on the page whose numbers are in a unit."""


@dataclass(frozen=True)
class Number:
    """An estimate as a cell. unit "rate": held 0-1, shown times 100. signed: a difference, shown with its sign.

    blocked: the check that forbids showing it ("S21"). marks: footnote marks, explained in the table's notes. best: a paired test says that
    it is better than all that stand beside it.

    >>> Number(Estimate(0.924, 0.891, 0.948, 200)).text
    '92.4 [89.1, 94.8]'
    >>> Number(Estimate(0.924, 0.891, 0.948, 200), blocked="S21").text
    'blocked (S21)'
    """

    estimate: Estimate
    unit: Unit = "rate"
    signed: bool = False
    blocked: str = ""
    marks: str = ""
    best: bool = False

    @property
    def state(self) -> Literal["shown", "blocked", "undefined"]:
        """Whether digits may be rendered."""
        if self.blocked:
            return "blocked"
        return "undefined" if self.estimate.value is None else "shown"

    @property
    def value(self) -> str:
        """The number alone, or what stands in its place."""
        if self.blocked:
            return f"blocked ({self.blocked})"
        return UNDEFINED if self.estimate.value is None else self._digits(self.estimate.value)

    @property
    def interval(self) -> str:
        """ "[low, high]", the 95 % interval; empty where there is none."""
        low, high = self.estimate.low, self.estimate.high
        if self.state != "shown" or low is None or high is None:
            return ""
        return f"[{self._digits(low)}, {self._digits(high)}]"

    @property
    def text(self) -> str:
        """Value, interval and marks."""
        return " ".join(part for part in (self.value, self.interval) if part) + self.marks

    def _digits(self, value: float) -> str:
        shown = _in_unit(value, self.unit)
        if float(shown.replace(",", "")) == 0:
            return shown.lstrip("-")
        return (f"{'+' if self.signed else ''}{shown}" if value > 0 else shown).replace("-", "−")


def _in_unit(value: float, unit: Unit) -> str:
    """Shares in percent; whole numbers of things without decimals, all others with two."""
    if unit == "rate":
        return f"{value * 100:.1f}"
    if unit == "score":
        return f"{value:.3f}"
    return f"{value:,.0f}" if unit in ("count", "pixels") and float(value).is_integer() else f"{value:,.2f}"


@dataclass(frozen=True)
class Quantity:
    """A metric's name as a cell. On the page its unit stands behind it; in a csv, where rates are shares, the name stands alone."""

    name: str
    unit: Unit

    @property
    def text(self) -> str:
        """Name and unit: "top-1, %"."""
        return f"{self.name}{SUFFIXES[self.unit]}"


Cell: TypeAlias = Number | Quantity | str | int | float | None


def plain_text(cell: Cell) -> str:
    """A cell as text, thousands separated."""
    if isinstance(cell, Number | Quantity):
        return cell.text
    if cell is None or isinstance(cell, str):
        return cell or ""
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}"


class Footnotes:
    """Collects a table's notes: a warning gets a dagger, any other remark a letter; the same text gets the same mark."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}
        self._counts = {"warning": 0, "remark": 0}

    def warning(self, text: str) -> str:
        """The mark († ‡ § ¶ †† ...) of a warning."""
        return self._mark(text, "warning", WARNINGS)

    def remark(self, text: str) -> str:
        """The mark (ᵃ ᵇ ᶜ ...) of a remark, such as why a number is undefined."""
        return self._mark(text, "remark", REMARKS)

    @property
    def notes(self) -> tuple[str, ...]:
        """Mark and text of each, in order of first use."""
        return tuple(f"{mark} {text}" for text, mark in self._marks.items())

    def _mark(self, text: str, kind: str, symbols: str) -> str:
        if text not in self._marks:
            times, which = divmod(self._counts[kind], len(symbols))
            self._marks[text] = symbols[which] * (times + 1)
            self._counts[kind] += 1
        return self._marks[text]
