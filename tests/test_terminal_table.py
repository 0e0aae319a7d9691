"""The summary in a terminal: 80 columns, plain text, every condition; and progress on a pipe as lines."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from robustbench_cv.cli.run import said_of_gates, summary
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.python_files import load_file
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.rendering.terminal_table import to_terminal
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.results import Results
from robustbench_cv.runner import progress_bar
from robustbench_cv.runner.progress_bar import Bar, Lines, linear, progress_for, progress_line, silent

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")


@pytest.fixture(scope="module")
def results() -> Results:
    made: Results = synthetic.make(n=24)
    return made


def test_the_summary_fits_and_has_every_condition_and_value(results: Results) -> None:
    printed = summary(results)
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 80
    assert not re.search(r"<\w+>|\*\*|^\|", printed, re.MULTILINE)
    for table in build_items(results, ["main-table"]):
        assert isinstance(table, Table)
        for row in table.frame.itertuples(index=False, name=None):
            number = next(cell for cell in row if isinstance(cell, Number))
            assert number.text in printed
    for group in results.groups():
        assert f"{group.model} on {group.dataset}" in printed


def test_the_whole_tables_are_a_flag_away(results: Results) -> None:
    assert "| --- |" in summary(results, whole=True)


def test_gates_that_did_not_pass_are_named_with_their_evidence(results: Results) -> None:
    *lines, counted = said_of_gates(results)
    wanted = [v for v in results.gates if v.outcome != "pass"]
    assert wanted
    assert lines == [str(v) for v in wanted]
    assert counted == f"{len(results.gates) - len(wanted)} of {len(results.gates)} gates pass"


def test_columns_that_do_not_fit_are_named_and_notes_of_shown_marks_kept() -> None:
    notes = Footnotes()
    few = notes.remark("8 samples are too few.")
    number = Number(Estimate(0.5, 0.2, 0.8, 8), marks=few)
    columns = ("condition", "top-1", "n", "excluded", *(f"a long heading {i}" for i in range(9)), "attack strength")
    rows = [["pgd " + "x" * 60, number, 8, 0, *["0123456789"] * 9, "strong"], ["clean\x1b[2J", number, 8, 0, *[""] * 9, ""]]
    text = to_terminal(Table(cells_of(columns, rows), "First. Second.", "t", (*notes.notes, "of all")))
    lines = text.splitlines()
    assert lines[0] == "First"
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text
    assert "strong" in text
    assert "ᵃ 8 samples are too few." in lines
    assert "of all" not in text
    assert "The report also has:" in text
    assert "a long heading 8" in " ".join(text.split())
    assert "excluded" not in text, "a column of zeros says nothing"


def test_a_pipe_gets_a_line_for_each_condition_and_one_when_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    with Lines(100) as bar:
        for seconds, samples in ((0, 0), (10, 10), (10, 10), (31, 20)):
            now[0] += seconds
            bar.describe("m · clean" if now[0] < 25 else "m · pgd\x1b")
            bar.advance(samples)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["  0 %  0 of 100  m · clean", r" 20 %  20 of 100, 0:03:24 left  m · pgd\x1b"]


def test_where_there_is_nothing_to_do_nothing_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(0, 1000, 100))
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: next(now))
    for form in (Bar, Lines):
        with form(0) as bar:
            bar.describe("nothing")
            bar.advance(0)
    assert capsys.readouterr() == ("", "")


def test_the_line_says_how_long_what_is_left_takes() -> None:
    assert progress_line(1, 4, 3600, "x", linear(1, 4, 3600)) == " 25 %  1 of 4, 3:00:00 left  x"
    assert progress_line(0, 4, 1, "x", linear(0, 4, 1)) == "  0 %  0 of 4  x"
    assert progress_line(0, 0, 0.5, "report") == "   …   report"
    assert progress_line(0, 1, 61, "report") == "   …   report, since 0:01:01"


def test_who_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress_for(quiet=True) is silent
    for is_terminal, wanted in ((True, Bar), (False, Lines)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda answer=is_terminal: answer, raising=False)
        assert progress_for() is wanted
