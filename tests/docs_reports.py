"""docs/reports.md, from the catalogue: `python -m tests.docs_reports` writes the page, with run folders behind it also the pictures.

The pictures come from real runs on Scenes, small enough for a laptop; a report is drawn from the first folder that has something for it:

    robustbench-cv run tests/docs_reports.yaml --out runs/docs
    robustbench-cv run quick --limit 32 --out runs/quick
    robustbench-cv run context --limit 16 --out runs/context
    python -m tests.docs_reports runs/docs runs/quick runs/context
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from robustbench_cv.catalogue import REPORTS, SUITES
from robustbench_cv.errors import UserError
from robustbench_cv.rendering.figures import Chart, render, style
from robustbench_cv.rendering.report_items import Item
from robustbench_cv.rendering.table_cells import Number, Quantity
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.results import Results
from robustbench_cv.specs import Spec

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reports.md"
PICTURES = ROOT / "docs" / "images" / "reports"

WIDTH, TALLEST, COLOURS = 720, 900, 160
"""Of a picture, in pixels; a taller one is cut."""

_ROWS, _COLUMNS, _LONGEST = 9, 10, 26

_HEAD = """# The reports

Every report of the catalogue, by name: a pure function of a run's records. A suite lists those that it shows (`reports:` in YAML); of
any finished run `results.table("by-class")` is the first table, or the data of the first chart, of any report whose metrics it measured.

`robustbench-cv show report NAME` prints the arguments of one. What is looked for under another word: corruption robustness is
`corruptions`, the context matrix `removal-matrix`, what in-painting does to pictures `fill-fidelity`, hardening `hardening`, accuracy
against multiply-adds `complexity`. The pictures are of real runs on the embedded data, made as `tests/docs_reports.py` says; of a table
they show the first rows and columns.
"""


def page() -> str:
    """The text of the page."""
    shown = suites_by_report()
    parts = [_HEAD]
    for name in REPORTS.names():
        entry, where = REPORTS.entry(name), shown.get(name, [])
        paper = (
            f" Paper: [{entry.facts['paper']}](https://arxiv.org/abs/{str(entry.facts['paper']).removeprefix('arXiv:')})."
            if entry.facts.get("paper")
            else ""
        )
        suites = (
            f"In the suites {', '.join(f'`{suite}`' for suite in where)}." if where else "In no bundled suite: name it in one of yours."
        )
        parts.append(f"## {name}\n\n{entry.summary}{paper}\n\n{suites}\n")
        if (PICTURES / f"{name}.png").exists():
            parts.append(f"![{name}](images/reports/{name}.png)\n")
    return "\n".join(parts)


def suites_by_report() -> dict[str, list[str]]:
    """The bundled suites that show each report."""
    shown: dict[str, list[str]] = {}
    for suite in SUITES.names():
        for spec in SUITES.build(suite).reports:
            shown.setdefault(Spec.parse(spec).name, []).append(suite)
    return shown


def pictures(folders: list[Path]) -> list[str]:
    """Draw every report that has no picture yet, from the first of the runs that has something for it; the names of those left.

    Delete a picture to have it drawn again.
    """
    runs = [Results.open(folder) for folder in folders]
    PICTURES.mkdir(parents=True, exist_ok=True)
    missing = []
    for name in REPORTS.names():
        if (PICTURES / f"{name}.png").exists():
            continue
        item = next((found for run in runs if (found := _first(run, name)) is not None), None)
        if item is None:
            missing.append(name)
        else:
            (PICTURES / f"{name}.png").write_bytes(_small(_png(item)))
    return missing


def _first(run: Results, name: str) -> Item | None:
    """A chart of the report where it has one that shows something, else its first table or gallery."""
    try:
        items = build_items(run, [name])
    except UserError:
        return None
    charts = [item for item in items if isinstance(item, Chart) and len(item.frame)]
    tables = [item for item in items if not isinstance(item, Chart) and not (isinstance(item, Table) and item.frame.empty)]
    return next(iter([*charts, *tables]), None)


def _png(item: Item) -> bytes:
    if isinstance(item, Chart):
        return item.to_bytes("png")
    return _table_png(item) if isinstance(item, Table) else item.to_png()


def _table_png(table: Table) -> bytes:
    """The first rows and columns, drawn as text."""
    from matplotlib.figure import Figure

    columns = [i for i, name in enumerate(table.frame.columns) if name != table.blocks][:_COLUMNS]
    heads = [_text(table.frame.columns[i]) for i in columns]
    rows = [[_text(row[i]) for i in columns] for row in table.frame.head(_ROWS).itertuples(index=False, name=None)]
    widths = [max(4, *(len(row[k]) for row in [heads, *rows])) for k in range(len(columns))]
    starts = [sum(widths[:k]) + 2 * k for k in range(len(widths) + 1)]
    with style():
        figure = Figure(figsize=(max(4.0, 0.075 * starts[-1]), 0.24 * (len(rows) + 2)))
        axes = figure.add_axes((0.01, 0.02, 0.98, 0.96))
        axes.set_xlim(0, starts[-1])
        axes.set_ylim(len(rows) + 0.6, -0.8)
        axes.set_axis_off()
        for y, row in enumerate([heads, *rows]):
            for x, text in zip(starts, row, strict=False):
                axes.text(x, y, text, fontsize=7.5, va="center", fontweight="bold" if y == 0 else "normal")
        axes.axhline(0.5, color="#444444", linewidth=0.8)
        return render(figure, "png")


def _text(cell: object) -> str:
    if isinstance(cell, tuple):
        cell = ": ".join(str(part) for part in cell if part)
    text = cell.text if isinstance(cell, Number | Quantity) else "" if cell is None else str(cell)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _small(png: bytes) -> bytes:
    """Scaled to the page's width, in few colours."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    image = image.crop((0, 0, image.width, min(image.height, TALLEST)))
    out = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:]]
    if folders:
        print("without a picture:", ", ".join(pictures(folders)) or "none")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
