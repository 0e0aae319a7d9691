"""report.pdf: the paper as one PDF without TeX, by reportlab (the extra `pdf`): two columns of text, then the supplement in one.

Tables are fitted by the same rule as in LaTeX; letters are STIX, which comes with matplotlib, embedded as TrueType.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape as xml_escape

from robustbench_cv.errors import UserError
from robustbench_cv.rendering import citations, escape, latex, page, paper, reporting, threats
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.film_strips import Gallery
from robustbench_cv.rendering.report_items import Item
from robustbench_cv.rendering.table_cells import Cell, Number, plain_text
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.venues import VENUES, Venue
from robustbench_cv.results import Results

REMEDY = "report.pdf needs reportlab: pip install robustbench-cv[pdf]"

_FACES = {"": "STIXGeneral.ttf", "Bol": "STIXGeneralBol.ttf", "Italic": "STIXGeneralItalic.ttf"}
_MARGIN, _INCH = 0.8, 72.0
_FULL, _GAP = 6.875, 0.375


def is_available() -> bool:
    """Whether reportlab is installed."""
    return find_spec("reportlab") is not None


def pdf_report(results: Results, items: Sequence[Item]) -> bytes:
    """The PDF; the same results, the same bytes. UserError where reportlab is not installed."""
    if not is_available():
        raise UserError(REMEDY)
    from reportlab import rl_config
    from reportlab.platypus import BaseDocTemplate, Frame, NextPageTemplate, PageBreak, PageTemplate, Paragraph

    rl_config.invariant = 1  # no date, no random id
    styles = _styles()
    venue = VENUES["two-column"]
    width, height = 8.5 * _INCH, 11 * _INCH
    left, column = (width - _FULL * _INCH) / 2, venue.column * _INCH
    tall = height - 2 * _MARGIN * _INCH
    head = 70.0

    def frame(x: float, wide: float, high: float) -> Frame:
        return Frame(x, _MARGIN * _INCH, wide, high, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)

    def columns(high: float) -> list[Frame]:
        return [frame(left, column, high), frame(left + column + _GAP * _INCH, column, high)]

    def first(canvas: Any, document: Any) -> None:
        canvas.setFont("STIX", 18)
        canvas.drawCentredString(width / 2, height - _MARGIN * _INCH - 20, escape.plain(paper.title_of(results)))
        canvas.setFont("STIX", 10)
        canvas.drawCentredString(width / 2, height - _MARGIN * _INCH - 42, results.run.created[:10])
        _number(canvas, document)

    def _number(canvas: Any, document: Any) -> None:
        canvas.setFont("STIX", 9)
        canvas.drawCentredString(width / 2, 0.45 * _INCH, str(document.page))

    out = io.BytesIO()
    document = BaseDocTemplate(
        out, pagesize=(width, height), title=paper.title_of(results), author="", creator="robustbench-cv", initialFontName="STIX"
    )
    document.addPageTemplates(
        [
            PageTemplate("first", columns(tall - head), onPage=first),
            PageTemplate("text", columns(tall), onPage=_number),
            PageTemplate("supplement", [frame(left, _FULL * _INCH, tall)], onPage=_number),
        ]
    )
    body = [item for item in items if _is_of_text(item, venue)]
    rest = [item for item in items if not _is_of_text(item, venue)]
    story: list[Any] = [NextPageTemplate("text"), Paragraph("1&nbsp;&nbsp;Setup", styles["heading"])]
    story += [Paragraph(_text(text), styles["text"]) for text in _setup(results)]
    story += [Paragraph("2&nbsp;&nbsp;Results", styles["heading"])]
    story += [Paragraph(_text(text), styles["text"]) for text in paper.sentences(results)]
    counts = {"Table": 0, "Figure": 0}
    for item in body:
        story += _flowables(item, styles, column, counts, venue.column_points)
    story += [Paragraph("References", styles["heading"]), *(Paragraph(_reference(r), styles["small"]) for r in citations.of_run(results))]
    story += [NextPageTemplate("supplement"), PageBreak(), Paragraph("A&nbsp;&nbsp;Supplement", styles["heading"])]
    for item in rest:
        title = item.title or item.label
        story.append(Paragraph(_text(f"{reporting.TASK_TITLES[item.task]}: {title}" if item.task else title), styles["subheading"]))
        story += _flowables(item, styles, _FULL * _INCH, counts, venue.full_points)
    document.build(story)
    return out.getvalue()


def _is_of_text(item: Item, venue: Venue) -> bool:
    return paper.is_of_text(item, venue) and not (isinstance(item, Chart) and item.printed_size[0] > venue.column)


def _setup(results: Results) -> Iterator[str]:
    for task in reporting.tasks_of(results):
        groups = reporting.groups_of(results, task)
        attacks = list(dict.fromkeys(threats.attack_title(results, task, c) for c in results.conditions(task, "attack")))
        said = (
            f" Attacks: {', '.join(attacks)}. {threats.adversary_text(results, task, results.conditions(task, 'attack'))}"
            if attacks
            else ""
        )
        models, data = (", ".join(dict.fromkeys(names)) for names in ([g.model for g in groups], [g.dataset for g in groups]))
        yield f"{reporting.TASK_TITLES[task]}. Models: {models}. Data: {data}. Metrics: {', '.join(results.metrics(task))}.{said}"
    yield threats.run_text(results)
    yield from results.run.notes
    yield from page.alarms(results)


def _reference(reference: citations.Reference) -> str:
    fields = {name: value.replace("{", "").replace("}", "").replace("$", "") for name, value in reference.fields.items()}
    where = fields.get("booktitle") or fields.get("journal") or fields.get("institution") or fields.get("howpublished") or ""
    authors = fields["author"].replace(" and others", " et al.").replace(" and ", ", ")
    return _text(". ".join(part for part in (authors, fields["title"], f"{where}{', ' if where else ''}{fields['year']}") if part) + ".")


def _flowables(item: Item, styles: Any, room: float, counts: dict[str, int], points: float) -> list[Any]:
    """An item with its caption: above a table, under a picture."""
    from reportlab.platypus import KeepTogether, Paragraph, Spacer

    kind = "Table" if isinstance(item, Table) else "Figure"
    counts[kind] += 1
    caption = Paragraph(
        f"<font name='STIXBol'>{kind} {counts[kind]}:</font> {_text(item.caption)}", styles["above" if kind == "Table" else "caption"]
    )
    notes = [Paragraph(_text(note), styles["note"]) for note in item.notes]
    if isinstance(item, Table):
        return [caption, *_panels(item, styles, room / points, points), *notes, Spacer(1, 10)]
    picture = _picture(item, room)
    return [KeepTogether([picture, caption, *notes, Spacer(1, 10)])]


def _picture(item: Chart | Gallery, room: float) -> Any:
    from PIL import Image as Pixels
    from reportlab.platypus import Image

    content = item.to_bytes("png") if isinstance(item, Chart) else item.to_png()
    with Pixels.open(io.BytesIO(content)) as image:
        across, down = image.size
    wide = min(room, item.printed_size[0] * _INCH) if isinstance(item, Chart) else room
    high = wide * down / across
    scale = min(1.0, 560.0 / high)
    return Image(io.BytesIO(content), width=wide * scale, height=high * scale)


def _panels(table: Table, styles: Any, scale: float, points: float) -> Iterator[Any]:
    """A long table for each panel, in the widths that the LaTeX table has (STIX is narrower than TeX's own letters)."""
    from reportlab.lib import colors
    from reportlab.platypus import LongTable, Paragraph, Spacer

    grid = table.grid()
    for panel in latex.fitted(grid, points):
        rows: list[list[Any]] = []
        rules: list[tuple[Any, ...]] = []
        if len(panel[0].heading) == 2 and any(c.heading[0] for c in panel):
            rows.append([Paragraph(_text(c.heading[0]) if _begins(panel, i) else "", styles["centre"]) for i, c in enumerate(panel)])
            for start, end in _groups(panel):
                rules += [("SPAN", (start, 0), (end, 0)), ("LINEBELOW", (start, 0), (end, 0), 0.4, colors.black)]
        rows.append([Paragraph(_text(c.name), styles["centre" if c.has_numbers else "right" if c.is_numeric else "cell"]) for c in panel])
        heads = len(rows)
        for name, members in latex.rows_of(panel, grid):
            if name:
                rules.append(("SPAN", (0, len(rows)), (-1, len(rows))))
                rows.append([Paragraph(f"<font name='STIXBol'>{_text(name)}</font>", styles["cell"]), *[""] * (len(panel) - 1)])
            rows += [[_cell(c.cells[r], c, styles, stacked=grid.stacked) for c in panel] for r in members]
        widths = [(c.points + 2 * latex.GAP) * scale for c in panel]
        made = LongTable(rows, colWidths=widths, repeatRows=heads, hAlign="CENTER")
        made.setStyle(
            [
                ("LINEABOVE", (0, 0), (-1, 0), 0.9, colors.black),
                ("LINEBELOW", (0, heads - 1), (-1, heads - 1), 0.5, colors.black),
                ("LINEBELOW", (0, -1), (-1, -1), 0.9, colors.black),
                ("LEFTPADDING", (0, 0), (-1, -1), 1.5),
                ("RIGHTPADDING", (0, 0), (-1, -1), 1.5),
                ("TOPPADDING", (0, 0), (-1, -1), 0.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("FONTNAME", (0, 0), (-1, -1), "STIX"),
                *rules,
            ]
        )
        yield made
        yield Spacer(1, 5)


def _begins(panel: Sequence[latex.Column], i: int) -> bool:
    return i == 0 or panel[i - 1].heading[0] != panel[i].heading[0]


def _groups(panel: Sequence[latex.Column]) -> Iterator[tuple[int, int]]:
    start = 0
    for i in range(1, len(panel) + 1):
        if i == len(panel) or panel[i].heading[0] != panel[start].heading[0]:
            if panel[start].heading[0]:
                yield start, i - 1
            start = i


def _cell(cell: Cell, column: latex.Column, styles: Any, *, stacked: bool) -> Any:
    from reportlab.platypus import Paragraph

    if not isinstance(cell, Number):
        return Paragraph(_text(plain_text(cell)), styles["centre" if column.has_numbers else "right" if column.is_numeric else "cell"])
    value = _text(cell.value)
    value = f"<font name='STIXBol'>{value}</font>" if cell.best else value
    gap = "<br/>" if stacked else " "
    interval = f"{gap}<font size='6'>{_text(cell.interval)}</font>" if cell.interval else ""
    return Paragraph(f"{value}{_text(cell.marks)}{interval}", styles["centre"])


def _text(text: str) -> str:
    """Text as reportlab's markup: escaped, raised letters as superscripts, what the face has no glyph for left out."""
    made = []
    for c in " ".join(escape.plain(text).split()):
        if unicodedata.decomposition(c).startswith("<super>"):
            made.append(f"<super>{xml_escape(unicodedata.normalize('NFKD', c))}</super>")
        else:
            made.append(xml_escape({"↳": "→"}.get(c, c)))
    return "".join(made)


def _styles() -> dict[str, Any]:
    import matplotlib
    from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY, TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for suffix, file in _FACES.items():
        pdfmetrics.registerFont(TTFont(f"STIX{suffix}", str(folder / file)))
    text = ParagraphStyle("text", fontName="STIX", fontSize=10, leading=12, alignment=TA_JUSTIFY, spaceAfter=4, splitLongWords=1)
    cell = ParagraphStyle("cell", fontName="STIX", fontSize=8, leading=9)
    return {
        "text": text,
        "heading": ParagraphStyle("heading", fontName="STIXBol", fontSize=14, leading=17, spaceBefore=8, spaceAfter=6, keepWithNext=1),
        "subheading": ParagraphStyle(
            "subheading", fontName="STIXBol", fontSize=12, leading=15, spaceBefore=8, spaceAfter=4, keepWithNext=1
        ),
        "caption": ParagraphStyle("caption", parent=text, fontSize=9, leading=10.5, spaceBefore=3, spaceAfter=5),
        "above": ParagraphStyle("above", parent=text, fontSize=9, leading=10.5, spaceBefore=3, spaceAfter=5, keepWithNext=1),
        "note": ParagraphStyle("note", fontName="STIX", fontSize=7, leading=8.5, spaceAfter=1.5),
        "small": ParagraphStyle("small", fontName="STIX", fontSize=8.5, leading=10, spaceAfter=2.5),
        "cell": cell,
        "centre": ParagraphStyle("centre", parent=cell, alignment=TA_CENTER),
        "right": ParagraphStyle("right", parent=cell, alignment=TA_RIGHT),
    }
