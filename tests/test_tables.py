"""Tables: what a number looks like, and that no text breaks out of its cell in any format."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.rendering import escape, latex
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of

SHOWN = Number(Estimate(0.924, 0.891, 0.948, 200, 3))
BLOCKED = Number(Estimate(0.924, 0.891, 0.948, 200, 3), blocked="S21")
UNDEFINED = Number(Estimate(None, None, None, 0, 7, reason="no class has ground truth"), marks="ᵃ")
NASTY = r"""50% a_b & c#1 $x$ {y} ~ ^ \cmd | <script>alert("1")</script> `tick` *b* [z](http://x) ' é 🚗 汽车 – −"""


def table(*texts: str, caption: str = "A caption.") -> Table:
    rows = [["m", text, SHOWN, 1234, None] for text in texts]
    return Table(cells_of(("model", "condition", "top-1, %", "n", "empty"), rows), caption, "a-table", ("† a note",), blocks="model")


class Cells(HTMLParser):
    """Text of every cell that is no heading of a column, and the tags that occur."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "td" or ("scope", "row") in attrs:
            self._inside = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (SHOWN, "92.4 [89.1, 94.8]"),
        (BLOCKED, "blocked (S21)"),
        (UNDEFINED, "–ᵃ"),
        (Number(Estimate(-0.061, -0.09, 0.02, 9), signed=True), "−6.1 [−9.0, +2.0]"),
        (Number(Estimate(-0.0001, -0.0002, 0.0001, 9), signed=True), "0.0 [0.0, 0.0]"),
        (Number(Estimate(1.25, 1.0, 1.5, 9), unit="count per image"), "1.25 [1.00, 1.50]"),
        (Number(Estimate(0.5, None, None, 1), marks="†"), "50.0†"),
    ],
)
def test_a_number_reads(number: Number, text: str) -> None:
    assert number.text == text


@pytest.mark.parametrize("number", [BLOCKED, UNDEFINED])
def test_what_may_not_be_shown_has_no_digits_in_any_format(number: Number) -> None:
    made = Table(cells_of(("value",), [[number]]), "c", "l")
    csv_row = next(csv.DictReader(io.StringIO(made.to_csv())))
    assert (csv_row["value"], csv_row["value low"], csv_row["value high"]) == ("", "", "")
    assert csv_row["value status"] in ("blocked (S21)", "undefined: no class has ground truth")
    for text in (made.to_markdown(), made.to_html(), made.to_latex()):
        assert not re.search(r"92|89\.1|94\.8|0\.9", text)


def test_csv_keeps_every_digit_and_rates_stay_shares() -> None:
    precise = Number(Estimate(1 / 3, 0.1, 0.7, 12, 1))
    row = next(csv.DictReader(io.StringIO(Table(cells_of(("a", "b"), [[precise, NASTY]]), "c", "l").to_csv())))
    assert float(row["a"]) == 1 / 3
    assert (row["a low"], row["a high"], row["a n"], row["a excluded"], row["a status"]) == ("0.1", "0.7", "12", "1", "ok")
    assert row["b"] == NASTY


def test_an_integer_beside_an_empty_cell_stays_an_integer() -> None:
    made = Table(cells_of(("n",), [[12800], [None]]), "c", "l")
    assert "12,800" in made.to_markdown()
    assert made.to_csv() == 'n\n12800\n""\n'


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_text_stays_in_its_cell(text: str) -> None:
    made = table(text, NASTY, caption=text)
    parser = Cells()
    parser.feed(made.to_html())
    assert len(parser.cells) == 8
    assert parser.cells[4] == NASTY
    assert parser.tags <= {"figure", "figcaption", "div", "table", "thead", "tbody", "tr", "th", "td", "span", "ul", "li", "sup"}
    rows = [line for line in made.to_markdown().split("\n") if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    body = [line for line in made.to_latex().split("\n") if line.endswith(r" \\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {4}
    assert not any(re.search(r"(?<!\\)%", line) for line in body)


@given(st.text(max_size=60))
def test_escaped_latex_is_balanced_ascii_or_accented(text: str) -> None:
    safe = escape.latex(text)
    bare = re.sub(r"\\[{}]", "", safe)
    assert bare.count("{") == bare.count("}")
    assert all(c.isascii() or "\u00c0" <= c <= "\u017f" for c in safe)
    assert "\n" not in safe


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_with_any_text(tmp_path: Path) -> None:
    printable = "".join(chr(c) for c in (*range(32, 127), *range(0xC0, 0x180)))
    wide = Table(
        cells_of(("model", ("cost", "steps"), ("cost", "evidence")), [["[0] m", 10, "long " * 40], ["*", None, "ab12" * 16]]),
        NASTY,
        "wide",
        (NASTY,),
    )
    tables = [table(NASTY, printable, caption=printable), wide, Table(cells_of(("v",), [[BLOCKED], [UNDEFINED]]), "c", "l")]
    body = "\n".join(t.to_latex() for t in tables)
    packages = (
        "\\usepackage{array, booktabs, longtable, siunitx}\n\\usepackage[textwidth=6.875in]{geometry}\n\\emergencystretch=3em\n"
        + latex.SETUP
    )
    source = "\\documentclass{article}\n" + packages + "\n\\begin{document}\n" + body + "\n\\end{document}\n"
    (tmp_path / "t.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 1000


def test_row_blocks_are_headings_on_the_page_and_a_column_in_the_csv() -> None:
    rows = [["a", 1], ["a", 2], ["b", 3]]
    made = Table(cells_of(("model", "n"), rows), "c", "l", blocks="model")
    assert made.to_html().count('scope="rowgroup"') == 2
    assert made.to_latex().count(r"\multicolumn{1}{@{}l@{}}{\textbf") == 2
    assert made.to_csv() == "model,n\na,1\na,2\nb,3\n"


def test_grouped_headings_span_their_columns() -> None:
    made = Table(cells_of(("x", ("cost", "a"), ("cost", "b")), [["r", 1, 2]]), "c", "l")
    assert '<th colspan="2" class="group" scope="colgroup">cost</th>' in made.to_html()
    assert r"\multicolumn{2}{c}{cost}" in made.to_latex()
    assert r"\cmidrule(lr){2-3}" in made.to_latex()
    assert "| x | cost: a | cost: b |" in made.to_markdown()


def test_footnotes_give_one_mark_to_one_text() -> None:
    notes = Footnotes()
    assert [notes.warning("w1"), notes.warning("w2"), notes.warning("w1"), notes.remark("r")] == ["†", "‡", "†", "ᵃ"]
    many = [notes.warning(f"x{i}") for i in range(20)]
    assert len(set(many)) == 20
    assert notes.notes[:3] == ("† w1", "‡ w2", "ᵃ r")
