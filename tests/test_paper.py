"""The paper: main.tex compiles without a warning about its content, holds every item, and its tables fit their columns."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pandas
import pytest

from robustbench_cv.files import write_bytes
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.registry import load_file
from robustbench_cv.rendering import citations, latex, paper
from robustbench_cv.rendering.figures import Chart, save
from robustbench_cv.rendering.film_strips import Gallery
from robustbench_cv.rendering.table_cells import Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.rendering.text_width import pieces, width
from robustbench_cv.rendering.venues import NAMES, VENUES, Name
from robustbench_cv.rendering.write_report import PRINTED, build_items
from robustbench_cv.results import Results

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")
needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")

MODELS = tuple(f"a-model-with-a-long-name-{k}.scenes" for k in range(5))


@pytest.fixture(scope="module")
def results() -> Results:
    made: Results = synthetic.make(models={"classification": MODELS, "detection": MODELS[:2]}, findings=(synthetic.PASS, synthetic.WARN))
    return made


def write(results: Results, folder: Path, name: Name) -> str:
    """main.tex with all that it includes; its text."""
    venue = VENUES[name]
    reports = [*PRINTED, *(r for r in synthetic.REPORTS if r != "gallery")]
    items = paper.for_venue(build_items(results, reports), venue)
    (folder / "tables").mkdir(parents=True)
    source = paper.main_tex(results, items, venue)
    (folder / "main.tex").write_text(source, encoding="utf-8")
    (folder / "references.bib").write_text(citations.bibtex(citations.of_run(results)), encoding="utf-8")
    for item in items:
        if isinstance(item, Table):
            (folder / "tables" / f"{item.label}.tex").write_text(item.to_latex(venue), encoding="utf-8")
        elif isinstance(item, Chart) and name == "two-column":
            save(item, folder / "figures")
        elif isinstance(item, Chart):
            write_bytes(folder / "figures" / f"{item.label}.pdf", _any_figure())
        assert f"/{item.label}" in source, "every item is included"
    return source


@functools.cache
def _any_figure() -> bytes:
    chart = Chart(frame=pandas.DataFrame({"x": [0.0, 1.0]}), draw=lambda axes, frame: None, caption="C.", label="l")
    return chart.to_bytes("pdf")


def compiled(folder: Path) -> str:
    """TeX's log of the last run."""
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "main.tex"]
    for i in range(4):
        if i == 1:
            made = subprocess.run(["bibtex", "main"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
            assert made.returncode == 0, made.stdout
            assert "Warning" not in made.stdout
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    return (folder / "main.log").read_text(encoding="utf-8", errors="replace")


@needs_tex
@pytest.mark.parametrize("name", NAMES)
def test_main_tex_compiles_without_a_warning_about_its_content(name: Name, results: Results, tmp_path: Path) -> None:
    write(results, tmp_path, name)
    log = compiled(tmp_path)
    assert re.findall(r"Overfull .*|LaTeX Warning: .*|.*[Uu]ndefined.*|Float too large.*", log) == []
    if shutil.which("pdffonts"):
        listed = subprocess.run(["pdffonts", "main.pdf"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()[2:]
        assert listed
        assert all(re.search(r"\s(yes)\s+(yes|no)\s+(yes|no)\s+\d+\s+\d+$", line) for line in listed), "every font is embedded"
        assert not any("Type 3" in line for line in listed)


def test_the_text_has_no_columns_of_cost_and_the_supplement_has(results: Results) -> None:
    items = paper.for_venue(build_items(results, [*PRINTED, "main-table"]), VENUES["two-column"])
    venue = VENUES["two-column"]
    text = "".join(item.to_latex(venue) for item in items if isinstance(item, Table) and paper.is_of_text(item, venue))
    rest = "".join(item.to_latex(venue) for item in items if isinstance(item, Table) and not paper.is_of_text(item, venue))
    for word in ("forwards", "backwards", "not judged}"):
        assert word not in text
    assert "forwards" in rest
    assert r"\begin{longtable}" in rest
    assert "makebox" not in text + rest


def test_a_table_of_a_column_has_no_wider_panel(results: Results) -> None:
    venue = VENUES["two-column"]
    table = build_items(results, ["robustness"])[0]
    assert isinstance(table, Table)
    for panel in latex.fitted(table.grid(), venue.column_points):
        assert sum(c.points for c in panel) + 2 * latex.GAP * (len(panel) - 1) <= venue.column_points
    shown = [c.name for panel in latex.fitted(table.grid(), venue.column_points) for c in panel[1:]]
    assert len(shown) == table.frame.shape[1] - 1, "each column stands in one panel"


def test_best_and_ties_are_those_of_the_paired_test(results: Results) -> None:
    table = build_items(results, ["robustness"])[0]
    assert isinstance(table, Table)
    clean = [row[1] for row in table.frame.itertuples(index=False, name=None)]
    assert sum(n.best for n in clean) + (sum("⁼" in n.marks for n in clean) >= 2) == 1
    made = Table(cells_of(("m", "v"), [["a", Number(Estimate(0.9, 0.8, 0.95, 9), best=True)]]), "C.", "l", in_text=True)
    assert r"\bfseries 90.0" in made.to_latex()
    assert "**90.0** [80.0, 95.0]" in made.to_markdown()


def test_the_caption_says_what_a_reader_must_know(results: Results) -> None:
    table = build_items(results, ["robustness"])[0]
    for words in (
        "scenes (n = 24)",
        "L∞",
        "white box",
        "misclassified",
        "seed 7",
        "Suite synthetic, version 1",
        "Checks: 1 warned, 1 passed",
    ):
        assert words in table.caption
    assert "10 steps" in str(list(table.frame.columns)), "PGD has 40 of its own"
    assert ("worst case", "8/255") in list(table.frame.columns)


def test_a_selection_and_its_transpose_hold_the_same_numbers(results: Results) -> None:
    spec = f"robustness(task='classification', columns='clean, pgd-8, worst case', rows='{MODELS[3]}, {MODELS[0]}'"
    upright, turned = (build_items(results, [f"{spec}{more})"])[0].frame for more in ("", ", transpose=True"))
    assert upright.shape == (2, 1 + 2 + 4)
    assert turned.shape == (6, 2 + 2)
    assert [[n.estimate for n in row[1:]] for row in upright.to_numpy()] == [[n.estimate for n in col] for col in turned.to_numpy().T[2:]]


@pytest.mark.parametrize(("given", "said"), [("columns='pgd-9'", "did you mean 'pgd-8'"), ("rows='vgg'", "no model of the run")])
def test_a_selection_of_what_is_not_there_is_named(given: str, said: str, results: Results) -> None:
    with pytest.raises(Exception, match=re.escape(said)):
        build_items(results, [f"robustness({given})"])


def test_long_words_break_and_the_pieces_are_the_text() -> None:
    text = "robustbench-cv run quick --data coco:/a/very/long/path/to/some_folder/ ab12ab12ab12ab12ab12ab12"
    assert "".join(pieces(text)) == text
    assert max(len(piece.strip()) for piece in pieces(text)) <= 24
    assert width("WW", 10) > width("ii", 10)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_printed_as_wide_as_its_column(name: Name, results: Results) -> None:
    venue = VENUES[name]
    chart = next(item for item in build_items(results, ["budget-curve"]) if isinstance(item, Chart))
    printed = replace(chart, venue=venue).figure(is_printed=True)
    assert printed.get_figwidth() == pytest.approx(venue.column)
    texts = [t.get_fontsize() for a in printed.axes for t in (*a.texts, a.xaxis.label, a.yaxis.label, *a.get_xticklabels())]
    assert min(texts) >= 6.5, "letters that can be read at the size of the column"


def test_a_gallery_stands_in_the_supplement() -> None:
    gallery = Gallery(strips=(), caption="C.", label="gallery-x")
    assert not paper.is_of_text(gallery, VENUES["two-column"])
