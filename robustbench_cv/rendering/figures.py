"""Figures: a frame with a way to draw it, saved as pdf, png and svg with the frame beside them, in one style.

Drawn on matplotlib's own canvas, never through pyplot: no global state, no display, and the same frame gives the same bytes.
"""

from __future__ import annotations

import base64
import functools
import io
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from robustbench_cv.files import write_bytes
from robustbench_cv.palette import INK, MUTED, PALETTE, RULE
from robustbench_cv.rendering import escape
from robustbench_cv.rendering.table_html import in_words
from robustbench_cv.rendering.venues import VENUES, Venue
from robustbench_cv.results import MetricRow
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOTHING = "every number here is blocked or undefined"

_FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"dpi": 300, "metadata": {"Software": None}},
    "svg": {"metadata": {"Date": None}, "transparent": True},
}

_PIXELS_PER_INCH = 110
"""Of a figure on the page."""

KINDS = tuple(_FORMATS)
"""What a figure is saved as."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Chart:
    """A frame and the function that draws it on axes.

    frame: tidy, saved as csv beside the figure; shares and rates 0-1. size: inches, on the page. task, label and title: as of a Table.
    drawn: the figure as it was drawn before, by kind. venue: where it is printed, as pdf and png, in that venue's width and letters.
    """

    frame: pandas.DataFrame
    draw: Callable[[Axes, pandas.DataFrame], None]
    caption: str
    label: str
    notes: tuple[str, ...] = ()
    task: Task | None = None
    title: str = ""
    size: tuple[float, float] = (6.4, 3.6)
    drawn: Mapping[str, bytes] = field(default_factory=dict)
    venue: Venue = VENUES["two-column"]

    @property
    def printed_size(self) -> tuple[float, float]:
        """Inches: as wide as a column of the venue, with room for as many rows of its letters."""
        wide, high = self.size
        across = self.venue.full if wide > PAGE_WIDTH else self.venue.column
        scale = self.venue.text / TEXT
        return across, min(self.venue.highest, max(across / wide * high, 0.85 * scale * high))

    def figure(self, *, is_printed: bool = False) -> Figure:
        """The drawn figure, in the shared style: of the page, or as it is printed."""
        from matplotlib.figure import Figure

        with style(self.venue.text if is_printed else TEXT):
            figure = Figure(figsize=self.printed_size if is_printed else self.size, layout="constrained")
            self.draw(figure.add_subplot(), _texts(self.frame, escape.plain))
            freeze(figure)
        return figure

    def to_html(self, words: Mapping[str, str] | None = None) -> str:
        """A <figure> around the chart as SVG in a data URI, so that charts on one page cannot disturb each other. words: as of a Table."""
        source = base64.b64encode(slim_svg(self.to_bytes("svg"))).decode()
        notes = "".join(f"<li>{escape.html(in_words(note, words or {}))}</li>" for note in self.notes)
        caption = escape.html(in_words(self.caption, words or {}))
        width, height = (round(side * _PIXELS_PER_INCH) for side in self.size)
        return (
            f'<figure class="chart" id="{escape.html(self.label)}"><figcaption>{caption}</figcaption>'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape.html(self.title or self.label)}">'
            f'<img src="data:image/svg+xml;base64,{source}" alt="{caption}" width="{width}" height="{height}"></div>'
            f"{f'<ul class=notes>{notes}</ul>' if notes else ''}</figure>"
        )

    def to_csv(self) -> str:
        """The frame, missing values empty."""
        return _texts(self.frame, escape.csv_cell).to_csv(index=False, lineterminator="\n")

    def to_bytes(self, kind: str) -> bytes:
        """The figure as "pdf", "png" or "svg"; the same bytes each time."""
        if kind not in self._made:
            self._made[kind] = render(self._once if kind == "svg" else self._printed, kind)
        return self._made[kind]

    def everything(self) -> dict[str, bytes]:
        """The figure in every kind."""
        return {kind: self.to_bytes(kind) for kind in KINDS}

    @functools.cached_property
    def _made(self) -> dict[str, bytes]:
        return dict(self.drawn)

    @functools.cached_property
    def _once(self) -> Figure:
        return self.figure()

    @functools.cached_property
    def _printed(self) -> Figure:
        return self.figure(is_printed=True)


def slim_svg(drawn: bytes) -> bytes:
    """An SVG of matplotlib without what no reader sees: comments, metadata, and of coordinates the digits beyond a hundredth of a point."""
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<!DOCTYPE.*?>", "", drawn.decode(), flags=re.DOTALL)
    text = re.sub(r"([1-9]\d*\.\d{2})\d+", r"\1", text)  # numbers below 1 may be scales, of glyphs
    return re.sub(r">\s+<", "><", text).encode()


def _texts(frame: pandas.DataFrame, escaped: Callable[[str], str]) -> pandas.DataFrame:
    """The frame with every text made safe for its target."""
    return frame.map(lambda value: escaped(value) if isinstance(value, str) else value)


def freeze(figure: Figure) -> None:
    """Lay a constrained figure out once, instead of again for each format."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def render(figure: Figure, kind: str) -> bytes:
    """A figure as "pdf", "png" or "svg", without dates."""
    out = io.BytesIO()
    with style():
        figure.savefig(out, format=kind, **_FORMATS[kind])
    return out.getvalue()


def save(chart: Chart, folder: Path) -> list[Path]:
    """Write <label>.pdf, .png and .csv into a folder."""
    paths = [folder / f"{chart.label}.{kind}" for kind in ("pdf", "png", "csv")]
    for path in paths[:2]:
        write_bytes(path, chart.to_bytes(path.suffix[1:]))
    write_bytes(paths[2], chart.to_csv().encode("utf-8"))
    return paths


TEXT = 9.0
"""Points of the letters of a figure on the page."""

PAGE_WIDTH = 6.4
"""Inches of a figure on the page."""

NARROW = 4.5
"""Inches below which a figure has no room for names at the ends of its lines."""


def points(size: float) -> float:
    """A size of letters on the page, as it is in the style at hand."""
    import matplotlib as mpl

    return size * float(mpl.rcParams["font.size"]) / TEXT


@contextmanager
def style(text: float = TEXT) -> Iterator[None]:
    """The one look of all figures: seaborn's white style, few lines, the palette above, text as text in pdf. text: points of letters."""
    import matplotlib as mpl
    import seaborn
    from cycler import cycler

    shared: dict[str, Any] = {
        "axes.edgecolor": RULE,
        "axes.labelcolor": MUTED,
        "axes.labelsize": text,
        "axes.prop_cycle": cycler(color=PALETTE),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": INK,
        "axes.titlelocation": "left",
        "axes.titlesize": text + 1,
        "axes.titleweight": "bold",
        "font.family": "DejaVu Sans",
        "font.size": text,
        "grid.color": RULE,
        "grid.linewidth": 0.7,
        "lines.linewidth": 0.2 * text,
        "lines.markersize": 0.5 * text,
        "pdf.fonttype": 42,
        "svg.hashsalt": "robustbench-cv",
        "text.color": INK,
        "text.parse_math": False,  # a "$" in a name is a dollar
        "xtick.color": MUTED,
        "xtick.labelsize": text - 0.5,
        "ytick.color": MUTED,
        "ytick.labelsize": text - 0.5,
        "ytick.left": False,
    }
    settings: Any = {**seaborn.axes_style("white"), **shared}
    with mpl.rc_context(settings):
        yield


def percent_axis(axis: Any) -> None:
    """Label a 0-1 axis (axes.xaxis or axes.yaxis) in percent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=" %"))


def value_axis(axis: Any, set_limits: Callable[[float, float], object], metric: MetricRow, margin: float = 0.02) -> None:
    """An axis (axes.xaxis with axes.set_xlim, or y) for a metric's values: its range with a little room, in percent where it is a rate."""
    if metric.high is not None:
        room = margin * (metric.high - metric.low)
        set_limits(metric.low - room, metric.high + room)
    if metric.unit == "rate":
        percent_axis(axis)


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, in order of first appearance; they repeat after the palette's end."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(dict.fromkeys(names))}


def wrap_label(text: str, most: int = 32) -> str:
    """A name that fits beside an axis, whole: in lines of at most that many letters.

    >>> wrap_label("tog-fabricate within 2/255 of the image", 20).split("\\n")
    ['tog-fabricate within', '2/255 of the image']
    """
    return "\n".join(textwrap.wrap(text, most)) or text


LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (10, 2)), (0, (2, 1)))
"""Of attacks, or whatever else a model is drawn under, in order; they repeat."""


def line_styles(names: Sequence[str]) -> dict[str, Any]:
    """A line for each name, in order of first appearance."""
    return {name: LINES[i % len(LINES)] for i, name in enumerate(dict.fromkeys(names))}


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write labels at the right ends of lines: (x, y, text, colour). Those that would touch are moved apart.

    A figure too narrow for that names its lines below it.
    """
    if _is_narrow(axes):
        _legend_below(axes, ends)
        return
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    most = max((wrap_label(end[2]).count("\n") + 1 for end in ends), default=1)
    gap = (high - low) * 0.065 * most
    ordered = sorted(ends, key=lambda end: (end[1], end[2]))
    places = spread([end[1] for end in ordered], gap, low + gap / 2, high - gap / 2)
    for (x, y, text, colour), place in zip(ordered, places, strict=True):
        axes.annotate(
            wrap_label(text),
            (min(max(x, left), right), min(max(y, low), high)),
            xytext=(1.04, place),
            textcoords=axes.get_yaxis_transform(),
            color=colour,
            va="center",
            fontsize=points(8.5),
            annotation_clip=False,
            # From the middle of the label's left edge, and behind every label: it crosses none.
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "alpha": 0.35,
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0.0, 0.5),
            },
        )


def legend_above(axes: Axes) -> None:
    """A legend over the axes, in as many columns (at most three) as its longest name leaves room for."""
    longest = max((len(name) for name in axes.get_legend_handles_labels()[1]), default=0)
    letters = 56 if not _is_narrow(axes) else 34  # about as many as are as wide as the axes
    columns = min(3, max(1, letters // (longest + 6)))
    # In a narrow figure the names beside the axes leave these less room than the legend needs: it grows to the left.
    at: dict[str, Any] = (
        {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0)} if _is_narrow(axes) else {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0)}
    )
    axes.legend(frameon=False, fontsize=points(8), labelcolor=MUTED, ncols=columns, **at)


def _is_narrow(axes: Axes) -> bool:
    figure = axes.get_figure(root=True)
    return figure is not None and figure.get_figwidth() < NARROW


def _legend_below(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names of lines by their colours, under the axes; a control's line is dashed, as it is drawn."""
    from matplotlib.lines import Line2D

    drawn = {(str(line.get_color()), float(line.get_ydata()[-1])): line for line in axes.get_lines() if len(line.get_ydata())}  # type: ignore[arg-type,index]
    handles = []
    for _, y, _, colour in ends:
        line = drawn.get((colour, float(y)))
        dashes = "-" if line is None else line.get_linestyle()
        handles.append(Line2D([], [], color=colour, linestyle=dashes, linewidth=points(1.5)))
    longest = max((len(end[2]) for end in ends), default=0)
    axes.legend(
        handles,
        [wrap_label(end[2], 44) for end in ends],
        frameon=False,
        fontsize=points(8),
        labelcolor=MUTED,
        loc="upper left",
        bbox_to_anchor=(-0.12, -0.26),
        ncols=2 if longest <= 18 else 1,
        borderpad=0,
        labelspacing=0.25,
        handlelength=2.6,
    )


def say(axes: Axes, text: str) -> None:
    """A sentence in the middle of axes that have nothing to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least `gap` apart (as far as low..high has room), each near its value; `values` rise, and so do the places.

    >>> spread([0.5, 0.5, 0.9], 0.1, 0.0, 1.0)
    [0.5, 0.6, 0.9]
    """
    places: list[float] = []
    for value in values:
        places.append(max(value, low if not places else places[-1] + gap))
    ceiling = high
    for i in range(len(places) - 1, -1, -1):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - gap
    return places
