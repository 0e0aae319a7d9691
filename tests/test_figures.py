"""Figures and pictures: the same bytes twice, what is drawn is what is saved, and differences with their sign."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from robustbench_cv.palette import PALETTE
from robustbench_cv.rendering import figures, film_strips
from robustbench_cv.rendering.figures import Chart


def draw(axes: Axes, frame: pandas.DataFrame) -> None:
    axes.plot(frame["x"], frame["y"], label="line")
    axes.set_xlabel("budget")
    figures.percent_axis(axes.yaxis)
    figures.label_ends(axes, [(1.0, 0.5, "a model", PALETTE[0]), (1.0, 0.5, "another", PALETTE[1])])


def chart() -> Chart:
    return Chart(frame=pandas.DataFrame({"x": [0.0, 1.0], "y": [0.9, None]}), draw=draw, caption="A <caption>.", label="a-chart")


@pytest.mark.parametrize("kind", ["pdf", "png", "svg"])
def test_the_same_frame_gives_the_same_bytes(kind: str) -> None:
    first = chart().to_bytes(kind)
    assert first == chart().to_bytes(kind)
    other = Chart(frame=pandas.DataFrame({"x": [0.0, 1.0], "y": [0.9, 0.1]}), draw=draw, caption="c", label="l").to_bytes(kind)
    assert first != other


def test_a_figure_is_saved_with_its_frame(tmp_path: Path) -> None:
    paths = figures.save(chart(), tmp_path)
    assert [p.name for p in paths] == ["a-chart.pdf", "a-chart.png", "a-chart.csv"]
    assert paths[2].read_text() == "x,y\n0.0,0.9\n1.0,\n"
    with Image.open(paths[1]) as image:
        assert len(numpy.unique(numpy.asarray(image.convert("L")))) > 10


def test_drawing_leaves_no_style_behind() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    chart().to_bytes("svg")
    assert dict(mpl.rcParams) == before


def test_html_holds_the_figure_and_escapes_its_caption() -> None:
    html = chart().to_html()
    assert "data:image/svg+xml;base64," in html
    assert "A &lt;caption&gt;." in html
    source = base64.b64decode(html.split("base64,")[1].split('"')[0])
    assert b"<svg" in source


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_spread_labels_keep_their_order_distance_and_room(values: list[float]) -> None:
    values = sorted(values)
    places = figures.spread(values, 0.1, 0.0, 1.0)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(places))
    assert max(places) <= 1.0
    if all(b - a >= 0.1 for a, b in itertools.pairwise(values)):
        assert places == values


def test_colours_are_told_apart_and_stable() -> None:
    assert figures.colours(["a", "b", "a"]) == {"a": PALETTE[0], "b": PALETTE[1]}
    assert len(set(PALETTE)) == len(PALETTE)


def test_the_difference_is_signed_and_amplified() -> None:
    before = numpy.full((2, 2, 3), 100, dtype=numpy.uint8)
    after = before.copy()
    after[0, 0], after[1, 1] = 102, 98
    shown, gain = film_strips.amplify_difference(before, after)
    assert gain == 32
    assert shown[0, 0, 0] == 128 + 64
    assert shown[1, 1, 0] == 128 - 64
    assert shown[0, 1, 0] == 128
    with pytest.raises(ValueError, match="differ in size"):
        film_strips.amplify_difference(before, after[:1])


@given(st.integers(0, 255), st.integers(0, 255))
def test_amplification_never_clips_unless_the_change_is_over_half_the_range(a: int, b: int) -> None:
    before, after = (numpy.full((1, 1, 3), v, dtype=numpy.uint8) for v in (a, b))
    shown, gain = film_strips.amplify_difference(before, after)
    if abs(a - b) <= 127:
        assert int(shown[0, 0, 0]) - 128 == gain * (b - a)


def test_a_mask_is_painted_but_for_ignored_pixels() -> None:
    image = numpy.full((1, 3, 3), 200, dtype=numpy.uint8)
    painted = film_strips.blend(image, numpy.array([[0, 1, 255]]), opacity=1.0)
    assert [tuple(p) for p in painted[0]] == [(0x4E, 0x79, 0xA7), (0xF2, 0x8E, 0x2B), (200, 200, 200)]


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (8, 1), (9, 2), (22, 3)])
def test_a_printed_strip_wraps_and_repeats_its_first_frame(count: int, rows: int) -> None:
    frames = tuple(film_strips.Frame(f"condition {k}", Path(f"{k}.png"), {}) for k in range(count))
    parts = film_strips._wrapped(film_strips.Strip("a sample", frames, ("car",)))
    assert len(parts) == rows
    assert all(part.frames[0] is frames[0] and len(part.frames) <= 8 for part in parts)
    assert [frame for part in parts for frame in part.frames[1:]] == list(frames[1:])


@pytest.mark.parametrize(("letters", "columns"), [(5, 3), (20, 2), (40, 1)])
def test_a_legend_above_stays_inside_the_figure(letters: int, columns: int) -> None:
    """Constrained layout alone cuts off what is wider than it makes room for."""
    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.add_subplot()
    for k in range(4):
        axes.plot([0, 1], [k, k], label=str(k) * letters)
    axes.set_yticks(range(4), ["a condition of thirty letters …"] * 4)
    figures.legend_above(axes)
    legend = axes.get_legend()
    assert legend is not None
    assert legend._ncols == columns  # type: ignore[attr-defined]
    figure.canvas.draw()
    assert legend.get_window_extent().x1 <= figure.bbox.x1
