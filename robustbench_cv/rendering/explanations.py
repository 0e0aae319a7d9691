"""What a survey of explanations says: a table of its classes, one of its samples, and a page with the pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from robustbench_cv import palette
from robustbench_cv.explain.survey import Case, ClassRow, Survey
from robustbench_cv.files import write_bytes
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.rendering.heat_maps import draw
from robustbench_cv.rendering.page import templates
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.run_folder import file_name
from robustbench_cv.types import Labels

COLUMNS = (
    "class",
    "n",
    "accuracy",
    "relevance mass",
    "relevance rank",
    "pointing game",
    "by chance",
    "insertion",
    "deletion",
    "area share",
    "mass − area",
    "Clever Hans",
)


@dataclass(frozen=True, eq=False)
class Explanations:
    """A survey with what a reader must know of it: by which method, of which model and data. tolerance: of the pointing game, in words."""

    survey: Survey
    method: str
    model: str
    data: str
    classes: Labels
    tolerance: str

    @property
    def flagged(self) -> tuple[str, ...]:
        """Names of the classes that are answered rightly for a wrong reason, by this method's maps."""
        return tuple(
            _class(self.classes, row) for row in self.survey.rows if row.label is not None and row.clever_hans.verdict == "flagged"
        )

    def table(self) -> Table:
        """A row a class, with intervals."""
        notes = Footnotes()
        rows = [_cells(_class(self.classes, row), row, notes) for row in self.survey.rows]
        return Table(
            cells_of(COLUMNS, rows), f"Where {self.method} finds what {self.model} says of {self.data}", "explain", _notes(self, notes)
        )

    def samples(self) -> Table:
        """A row a sample."""
        rows = [_sample_cells(case, self.classes) for case in self.survey.cases]
        columns = ("sample", "class", "answer", "right", "mass", "rank", "pointing game", "insertion", "deletion", "area share", "reason")
        return Table(cells_of(columns, rows), "Every explained sample", "samples")


class Picture(NamedTuple):
    """One sample's picture on the page. path: its own file, relative to the folder."""

    title: str
    text: str
    source: str
    path: str


def write(explanations: Explanations, folder: Path) -> list[Path]:
    """Write explain.csv, samples.csv, pictures/*.png and index.html; the paths, the page last. The same again changes no file."""
    table, pictures = explanations.table(), []
    paths = [folder / "explain.csv", folder / "samples.csv"]
    write_bytes(paths[0], table.to_csv().encode("utf-8"))
    write_bytes(paths[1], explanations.samples().to_csv().encode("utf-8"))
    for case in explanations.survey.cases:
        path, png = folder / "pictures" / f"{file_name(case.sample.id)}.png", draw(case, explanations.classes)
        write_bytes(path, png)
        paths.append(path)
        source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        pictures.append(Picture(case.sample.id, _caption(case), source, f"pictures/{path.name}"))
    page = (
        templates()
        .get_template("explain.html.j2")
        .render(it=explanations, table=table, pictures=pictures, colours=palette.css(), night=palette.css(dark=True))
    )
    write_bytes(folder / "index.html", page.encode("utf-8"))
    return [*paths, folder / "index.html"]


def _class(classes: Labels, row: ClassRow) -> str:
    return "all" if row.label is None else classes.names[row.label]


def _cells(name: str, row: ClassRow, notes: Footnotes) -> Sequence[Cell]:
    shares = (row.accuracy, row.mass, row.rank, row.pointing, row.chance, row.insertion, row.deletion, row.area)
    verdict = row.clever_hans.verdict if row.label is not None else ""
    return [name, row.n, *(_number(e, notes) for e in shares), _number(row.clever_hans.excess, notes, signed=True), verdict]


def _number(estimate: Estimate, notes: Footnotes, *, signed: bool = False) -> Number:
    said = estimate.caution or estimate.reason
    return Number(estimate, signed=signed, marks=notes.remark(said) if said and "samples are too few" not in said else "")


def _notes(it: Explanations, notes: Footnotes) -> tuple[str, ...]:
    """Of the marks, then of the columns."""
    classes = [row.pointing.value for row in it.survey.rows if row.label is not None and row.pointing.value is not None]
    of_classes = f"; the mean over the {len(classes)} classes with a trial is {100 * sum(classes) / len(classes):.1f} %" if classes else ""
    left_out = it.survey.left_out
    return (
        *notes.notes,
        "Explained is the model's own answer about the main object. Mass, rank and pointing game count rightly answered samples alone; "
        "area share is what a map that is the same everywhere would have as mass.",
        f"Pointing game: the maximum lies closer to the object than {it.tolerance}{of_classes}. By chance: what a maximum "
        "that falls anywhere would win, which tolerance and large objects raise.",
        "Insertion and deletion: area under the probability, in 28 steps; high insertion and low deletion speak for the map.",
        "Clever Hans: right in more than 80 %, and the mass less than 5 points above the area share, with 0 or less in the interval of the "
        "difference. It judges one method's maps: where one flags, see what another says.",
        "Fewer than 20 samples of a class are too few for an interval to be relied on.",
        *([f"{len(left_out)} samples were left out, the first because {left_out[0]}."] if left_out else []),
    )


def _sample_cells(case: Case, classes: Labels) -> Sequence[Cell]:
    areas = case.areas
    hit = None if case.hit is None else "hit" if case.hit else "miss"
    right = "yes" if case.answer.is_right else "no"
    insertion, deletion = (areas.insertion, areas.deletion) if areas is not None else (None, None)
    name = classes.names[case.main.label]
    return [case.sample.id, name, case.answer.says, right, case.mass, case.rank, hit, insertion, deletion, case.area, case.reason]


def _caption(case: Case) -> str:
    mass = f"mass {100 * case.mass:.0f} %, area {100 * case.area:.0f} %" if case.mass is not None else case.reason or "answered wrongly"
    return f"{case.answer.says} · {mass}"
