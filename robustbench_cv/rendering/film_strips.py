"""Pictures of what a condition did to a sample: the image before and after, their difference, and the predictions drawn on them.

A gallery is made of film strips, one for each sample: the unedited image first, then one frame for each condition.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy
from PIL import Image

from robustbench_cv.palette import CLASSES, INK, MUTED, rgb
from robustbench_cv.rendering import escape
from robustbench_cv.rendering.figures import render, style
from robustbench_cv.tasks import Task
from robustbench_cv.types import IGNORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels: TypeAlias = numpy.ndarray
"""uint8 (H, W, 3), RGB."""

Shown: TypeAlias = Mapping[str, Any]
"""A prediction as it is stored: {"label", "score"} or {"labels": path of an index PNG} or {"boxes", "scores", "labels"}."""

_SIDE = 256
_ACROSS = 11  # frames beside the first one in a row of the printed picture
_PITCH, _TOP, _INSIDE = 1.3, 0.2, 0.92  # of a printed cell: row height, room above the image, the image's side
_GAINS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a strip with the model's prediction on it. before: the image it differs from; None for the first of a strip.
    Where it has another size, no difference is drawn."""

    heading: str
    image: Path
    prediction: Shown
    before: Path | None = None


@dataclass(frozen=True, eq=False)
class Strip:
    """One sample: the unedited image, then a frame for each condition. threshold: boxes below it are not drawn."""

    title: str
    frames: tuple[Frame, ...]
    classes: tuple[str, ...]
    threshold: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Gallery:
    """Film strips of one task, with a legend of the classes that occur. label, task, title: as of a Table. drawn: as of a Chart."""

    strips: tuple[Strip, ...]
    caption: str
    label: str
    notes: tuple[str, ...] = ()
    task: Task | None = None
    title: str = ""
    drawn: Mapping[str, bytes] = field(default_factory=dict)

    def to_html(self) -> str:
        """A <figure> with every image inside as a data URI; boxes and labels are drawn as inline SVG."""
        return self.everything()["html"].decode()

    def to_png(self) -> bytes:
        """The same strips as one picture, for print."""
        return self.everything()["png"]

    def everything(self) -> Mapping[str, bytes]:
        """The page's part ("html") and the picture ("png")."""
        return self._made

    @functools.cached_property
    def _made(self) -> Mapping[str, bytes]:
        if self.drawn:
            return self.drawn
        return {"html": "\n".join(_html_lines(self)).encode(), "png": render(self.figure(), "png")}

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
    with Image.open(path) as image:
        return numpy.asarray(image.convert("RGB"))


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
    palette = numpy.array([rgb(colour) for colour in CLASSES], dtype=numpy.float64)
    painted = image * (1 - opacity) + palette[labels % len(palette)] * opacity
    return numpy.where((labels == IGNORE)[..., None], image, painted.round()).astype(numpy.uint8)


def data_uri(pixels: Pixels) -> str:
    """An image as a data URI no larger than 256 px: PNG where small, JPEG where large."""
    image = Image.fromarray(pixels)
    large = max(image.size) > _SIDE
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    if large:
        image.save(out, "JPEG", quality=90, subsampling=0)
    else:
        image.save(out, "PNG", optimize=True)
    return f"data:image/{'jpeg' if large else 'png'};base64,{base64.b64encode(out.getvalue()).decode()}"


def _colour(label: int) -> str:
    return CLASSES[label % len(CLASSES)]


def _class(classes: Sequence[str], label: int) -> str:
    return classes[label] if 0 <= label < len(classes) else f"class {label}"


def _label_map(frame: Frame) -> numpy.ndarray | None:
    """The predicted label of every pixel, from an index PNG beside the image (or an absolute path)."""
    stored = frame.prediction.get("labels")
    if not isinstance(stored, str | Path):
        return None
    with Image.open(frame.image.parent / stored) as image:
        return numpy.asarray(image).astype(numpy.int64)


def _boxes(frame: Frame, threshold: float) -> list[tuple[list[float], float, int]]:
    """Drawn boxes with score and label, the surest last, so that they lie on top."""
    p = frame.prediction
    if "boxes" not in p:
        return []
    scored_boxes = [(b, float(s), int(c)) for b, s, c in zip(p["boxes"], p["scores"], p["labels"], strict=True) if s >= threshold]
    return sorted(scored_boxes, key=lambda box: box[1])


def _says(frame: Frame, strip: Strip) -> str:
    """A prediction in words."""
    p = frame.prediction
    if "label" in p:
        return f"{_class(strip.classes, int(p['label']))} {float(p['score']):.2f}"
    if "boxes" in p:
        count = len(_boxes(frame, strip.threshold))
        return f"{count} box{'' if count == 1 else 'es'}"
    return ""


def _seen_classes(strip: Strip) -> set[int]:
    seen: set[int] = set()
    for frame in strip.frames:
        labels = _label_map(frame)
        if labels is not None:
            seen |= set(numpy.unique(labels).tolist()) - {IGNORE}
        seen |= {label for _, _, label in _boxes(frame, strip.threshold)}
    return seen


def _html_lines(gallery: Gallery) -> Iterator[str]:
    yield f'<figure class="gallery" id="{escape.html(gallery.label)}">'
    yield f"<figcaption>{escape.html(gallery.caption)}</figcaption>"
    for strip in gallery.strips:
        yield f'<div class="strip"><p class="sample">{escape.html(strip.title)}</p><div class="film" tabindex="0">'
        yield from (_html_frame(frame, strip) for frame in strip.frames)
        yield "</div>"
        yield from _html_legend(strip)
        yield "</div>"
    if gallery.notes:
        yield '<ul class="notes">' + "".join(f"<li>{escape.html(note)}</li>" for note in gallery.notes) + "</ul>"
    yield "</figure>"


def _html_frame(frame: Frame, strip: Strip) -> str:
    pixels, labels = read(frame.image), _label_map(frame)
    alt = f"{strip.title}, {frame.heading}"
    parts = [f'<p class="heading">{escape.html(frame.heading)}</p>', _html_image(pixels, alt, _svg_boxes(frame, strip, pixels))]
    says = _says(frame, strip)
    if says:
        changed = " changed" if says.rpartition(" ")[0] != _says(strip.frames[0], strip).rpartition(" ")[0] else ""
        parts.append(f'<p class="says{changed}">{escape.html(says)}</p>')
    if labels is not None:
        parts += [_html_image(blend(pixels, labels), f"{alt}, predicted classes"), '<p class="says">prediction</p>']
    if (made := _difference(frame, pixels)) is not None:
        difference, caption = made
        parts += [_html_image(difference, f"{alt}, difference"), f'<p class="says">{caption}</p>']
    return f'<div class="frame">{"".join(parts)}</div>'


def _html_image(pixels: Pixels, alt: str, overlay: str = "") -> str:
    small = ' class="pixels"' if max(pixels.shape[:2]) < 64 else ""
    return f'<div class="image"><img{small} src="{data_uri(pixels)}" alt="{escape.html(alt)}">{overlay}</div>'


def _svg_boxes(frame: Frame, strip: Strip, pixels: Pixels) -> str:
    """Boxes in image coordinates, with class and score above each (or inside, at the top edge)."""
    height, width = pixels.shape[:2]
    size = max(height, width) * 0.062
    parts = []
    for (x1, y1, x2, y2), score, label in _boxes(frame, strip.threshold):
        text, colour = f"{_class(strip.classes, label)} {score:.2f}", _colour(label)
        wide = len(text) * size * 0.56 + size * 0.5
        left = max(0.0, min(x1, width - wide))
        top = y1 - size * 1.3 if y1 >= size * 1.3 else y1
        parts += [
            f'<rect class="box" x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" stroke="{colour}"/>',
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{size * 1.3:.1f}" fill="{colour}"/>',
            f'<text x="{left + size * 0.25:.1f}" y="{top + size:.1f}" font-size="{size:.1f}">{escape.html(text)}</text>',
        ]
    return f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(parts)}</svg>' if parts else ""


def _html_legend(strip: Strip) -> Iterator[str]:
    if any(isinstance(frame.prediction.get("labels"), str | Path) for frame in strip.frames):
        chips = (
            f'<li><i style="background:{_colour(k)}"></i>{escape.html(_class(strip.classes, k))}</li>' for k in sorted(_seen_classes(strip))
        )
        yield '<ul class="legend">' + "".join(chips) + "</ul>"


def _print_rows(strip: Strip) -> Iterator[tuple[Strip, str]]:
    yield strip, "image"
    if any(_label_map(frame) is not None for frame in strip.frames):
        yield strip, "prediction"
    if any(frame.before is not None for frame in strip.frames):
        yield strip, "difference"


def _print_frame(axes: Axes, frame: Frame, strip: Strip, part: str, x: float, y: float) -> None:
    pixels, labels = read(frame.image), _label_map(frame)
    if part == "image":
        _print_text(axes, x + 0.5, y + 0.13, frame.heading, INK, 7.5)
        _print_image(axes, pixels, x, y, _says(frame, strip))
        _print_boxes(axes, frame, strip, pixels, x, y)
    elif part == "prediction" and labels is not None:
        _print_image(axes, blend(pixels, labels), x, y, "prediction")
    elif part == "difference" and (made := _difference(frame, pixels)) is not None:
        _print_image(axes, made[0], x, y, made[1])


def _difference(frame: Frame, pixels: Pixels) -> tuple[Pixels, str] | None:
    """The frame's difference and its caption; None where there is nothing to compare, or an image of another size."""
    before = None if frame.before is None else read(frame.before)
    if before is None or before.shape != pixels.shape:
        return None
    difference, gain = amplify_difference(before, pixels)
    return difference, f"difference × {gain}"


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
    from matplotlib.patches import Rectangle

    left, top, scale = _fit(pixels, x, y)
    for (x1, y1, x2, y2), _, label in _boxes(frame, strip.threshold):
        corner, size = (left + x1 * scale, top + y1 * scale), ((x2 - x1) * scale, (y2 - y1) * scale)
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=_colour(label), linewidth=1.4))
        name = _class(strip.classes, label)
        axes.text(*corner, escape.plain(name), fontsize=5, color="white", va="bottom", bbox=_chip(label))


def _chip(label: int) -> dict[str, Any]:
    return {"facecolor": _colour(label), "edgecolor": "none", "pad": 0.8}


def _print_text(axes: Axes, x: float, y: float, text: str, colour: str, size: float) -> None:
    axes.text(x, y, escape.plain(text), ha="center", va="center", fontsize=size, color=colour)
