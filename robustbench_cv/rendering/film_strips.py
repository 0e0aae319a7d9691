"""Pictures of what a condition did to a sample: the image before and after, their difference, truth and predictions drawn on them.

A gallery is made of film strips, one for each sample: the unedited image first, then one frame for each condition. What is here draws them
for print; gallery_html.py does for the page.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy

from robustbench_cv.data.images import read_pixels
from robustbench_cv.palette import INK, MUTED, class_colour, rgb, text_on
from robustbench_cv.rendering import escape
from robustbench_cv.rendering.figures import render, style
from robustbench_cv.rendering.prediction_text import Answer, Shown, answer, class_name, drawn_boxes, label_map
from robustbench_cv.tasks import Task
from robustbench_cv.types import IGNORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels: TypeAlias = numpy.ndarray
"""uint8 (H, W, 3), RGB."""

Outcome: TypeAlias = Literal["broken", "held", ""]
"""Of a frame: whether the condition broke what the model said of the unedited image; "" where that cannot be said."""

_ACROSS = 7  # frames beside the first one in a row of the printed picture
_PITCH, _TOP, _INSIDE = 1.3, 0.2, 0.92  # of a printed cell: row height, room above the image, the image's side
_GAINS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a strip with its truth and the model's prediction. before: the image it differs from; None for the first of a strip.
    Where it has another size, no difference is drawn. image: None where the run kept none of this sample under this condition."""

    heading: str
    image: Path | None
    prediction: Shown
    before: Path | None = None
    truth: Shown = field(default_factory=dict)
    outcome: Outcome = ""


@dataclass(frozen=True, eq=False)
class Strip:
    """One sample: the unedited image, then a frame for each condition. threshold: boxes below it are not drawn."""

    title: str
    frames: tuple[Frame, ...]
    classes: tuple[str, ...]
    threshold: float = 0.0

    @property
    def broken(self) -> int:
        """How many conditions broke it."""
        return sum(frame.outcome == "broken" for frame in self.frames)

    def answer(self, frame: Frame) -> Answer:
        """What is said of a frame."""
        if frame.image is None:
            return Answer("", None)
        return answer(frame.prediction, frame.truth, self.classes, frame.image.parent, self.threshold)


@dataclass(frozen=True, eq=False, kw_only=True)
class Gallery:
    """Film strips of one model, with a legend of the classes that occur. label, task, title: as of a Table. drawn: as of a Chart."""

    strips: tuple[Strip, ...]
    caption: str
    label: str
    notes: tuple[str, ...] = ()
    task: Task | None = None
    title: str = ""
    model: str = ""
    drawn: Mapping[str, bytes] = field(default_factory=dict)

    def to_html(self) -> str:
        """A <figure> with every image inside as a data URI; boxes and label maps are drawn over it."""
        return self._html.decode()

    def to_png(self) -> bytes:
        """The same strips as one picture, for print."""
        return self._png

    def everything(self) -> Mapping[str, bytes]:
        """The page's part ("html") and the picture ("png")."""
        return {"html": self._html, "png": self._png}

    @functools.cached_property
    def _html(self) -> bytes:
        from robustbench_cv.rendering.gallery_html import gallery_html

        return self.drawn.get("html") or gallery_html(self).encode()

    @functools.cached_property
    def _png(self) -> bytes:
        return self.drawn.get("png") or render(self.figure(), "png")

    def figure(self) -> Figure:
        """The strips on one figure: a column for each frame; rows of images, predicted masks and differences."""
        from matplotlib.figure import Figure

        strips = [part for strip in self.strips for part in _wrapped(strip)]
        rows = [row for strip in strips for row in _print_rows(strip)]
        width = max((len(strip.frames) for strip in strips), default=1)
        height = _PITCH * max(1, len(rows))
        with style():
            figure = Figure(figsize=(1.45 * width, 1.45 * height))
            axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
            axes.set_axis_off()
            for y, (strip, part) in enumerate(rows):
                for x, frame in enumerate(strip.frames):
                    _print_frame(axes, frame, strip, part, x, y * _PITCH)
            # imshow fits the view to each image in turn
            axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        return figure


def _wrapped(strip: Strip) -> list[Strip]:
    """A strip in parts that fit a page, each with the first frame at its head."""
    first, *others = strip.frames
    parts = [others[k : k + _ACROSS] for k in range(0, len(others), _ACROSS)] or [[]]
    return [replace(strip, frames=(first, *part)) for part in parts]


def read(path: Path) -> Pixels:
    """An image file as RGB."""
    return read_pixels(path)


def amplify_difference(before: Pixels, after: Pixels) -> tuple[Pixels, int]:
    """The signed difference on mid-grey and its gain: the largest of 1, 2, 4 ... 64 that leaves most of the range unclipped.

    >>> amplify_difference(numpy.full((1, 1, 3), 100, "uint8"), numpy.full((1, 1, 3), 104, "uint8"))[1]
    16
    """
    if before.shape != after.shape:
        raise ValueError(f"before {before.shape} and after {after.shape} differ in size")
    change = after.astype(numpy.int32) - before.astype(numpy.int32)
    reach = max(1, int(numpy.abs(change).max()))
    gain = max((g for g in _GAINS if g * reach <= 127), default=1)
    return (128 + gain * change).clip(0, 255).astype(numpy.uint8), gain


def blend(image: Pixels, labels: numpy.ndarray, opacity: float = 0.7) -> Pixels:
    """An image under its label map (int (H, W)), each class in its colour; ignored pixels are left as they are."""
    seen, position = numpy.unique(labels, return_inverse=True)
    palette = numpy.array([rgb(class_colour(label)) for label in seen.tolist()], dtype=numpy.float64)
    painted = image * (1 - opacity) + palette[position.reshape(labels.shape)] * opacity
    return numpy.where((labels == IGNORE)[..., None], image, painted.round()).astype(numpy.uint8)


def seen_classes(strips: Sequence[Strip]) -> list[int]:
    """Of all label maps and boxes that are drawn, truths included."""
    seen: set[int] = set()
    for strip in strips:
        for frame in strip.frames:
            for shown, threshold in ((frame.prediction, strip.threshold), (frame.truth, 0.0)):
                labels = None if frame.image is None else label_map(shown, frame.image.parent)
                if labels is not None:
                    seen |= set(numpy.unique(labels).tolist()) - {IGNORE}
                seen |= {label for _, _, label in drawn_boxes(shown, threshold)}
    return sorted(label for label in seen if label >= 0)


def difference(frame: Frame, pixels: Pixels) -> tuple[Pixels, int] | None:
    """The frame's amplified difference and its gain; None where there is nothing to compare, or an image of another size."""
    before = None if frame.before is None else read(frame.before)
    return None if before is None or before.shape != pixels.shape else amplify_difference(before, pixels)


def _print_rows(strip: Strip) -> Iterator[tuple[Strip, str]]:
    yield strip, "image"
    if any(_map(frame, frame.truth) is not None for frame in strip.frames):
        yield strip, "truth"
    if any(_map(frame, frame.prediction) is not None for frame in strip.frames):
        yield strip, "prediction"
    if any(frame.before is not None for frame in strip.frames):
        yield strip, "difference"


def _map(frame: Frame, shown: Shown) -> numpy.ndarray | None:
    return None if frame.image is None else label_map(shown, frame.image.parent)


def _print_frame(axes: Axes, frame: Frame, strip: Strip, part: str, x: float, y: float) -> None:
    if part == "image":
        _print_text(axes, x + 0.5, y + 0.13, frame.heading, INK, 7.5)
    if frame.image is None:
        return
    pixels, labels = read(frame.image), _map(frame, frame.truth if part == "truth" else frame.prediction)
    if part == "image":
        _print_image(axes, pixels, x, y, strip.answer(frame).text)
        _print_boxes(axes, frame, strip, pixels, x, y)
    elif part in ("truth", "prediction") and labels is not None:
        _print_image(axes, blend(pixels, labels), x, y, part)
    elif part == "difference" and (made := difference(frame, pixels)) is not None:
        _print_image(axes, made[0], x, y, f"difference × {made[1]}")


def _fit(pixels: Pixels, x: float, y: float) -> tuple[float, float, float]:
    """Left, top and scale of an image in the cell at x, y."""
    height, width = pixels.shape[:2]
    scale = _INSIDE / max(height, width)
    return x + (1 - width * scale) / 2, y + _TOP + (_INSIDE - height * scale) / 2, scale


def _print_image(axes: Axes, pixels: Pixels, x: float, y: float, text: str) -> None:
    (left, top, scale), (height, width) = _fit(pixels, x, y), pixels.shape[:2]
    axes.imshow(pixels, extent=(left, left + width * scale, top + height * scale, top), interpolation="nearest")
    _print_text(axes, x + 0.5, y + _TOP + _INSIDE + 0.1, text, MUTED, 6.5)


def _print_boxes(axes: Axes, frame: Frame, strip: Strip, pixels: Pixels, x: float, y: float) -> None:
    """The truth in dashes, what is reported in full lines with its class."""
    from matplotlib.patches import Rectangle

    left, top, scale = _fit(pixels, x, y)
    for shown, threshold, is_truth in ((frame.truth, 0.0, True), (frame.prediction, strip.threshold, False)):
        for (x1, y1, x2, y2), _, label in drawn_boxes(shown, threshold):
            corner, size = (left + x1 * scale, top + y1 * scale), ((x2 - x1) * scale, (y2 - y1) * scale)
            edge, line, width = ("white", "--", 0.9) if is_truth else (class_colour(label), "-", 1.4)
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=edge, linestyle=line, linewidth=width))
            if not is_truth:
                name, colour = escape.plain(class_name(strip.classes, label)), text_on(class_colour(label))
                axes.text(*corner, name, fontsize=5, color=colour, va="bottom", bbox=_chip(label))


def _chip(label: int) -> dict[str, Any]:
    return {"facecolor": class_colour(label), "edgecolor": "none", "pad": 0.8}


def _print_text(axes: Axes, x: float, y: float, text: str, colour: str, size: float) -> None:
    axes.text(x, y, escape.plain("\n".join(textwrap.wrap(text, 22))), ha="center", va="center", fontsize=size, color=colour)
