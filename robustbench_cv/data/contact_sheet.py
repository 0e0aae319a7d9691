"""A contact sheet of any data set: pictures in a grid, annotations drawn, a caption under each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from robustbench_cv.palette import ANNOTATIONS, SHEET, rgb
from robustbench_cv.types import ABSENT, BoxTarget, ClassTarget, Dataset, Labels, MaskTarget, Sample

CELL, GAP, MARGIN, CAPTION = 192, 18, 28, 40
"""Pixels: side of a picture, space between two, around all, and under each for its caption."""
PAPER, INK, PALE = rgb(SHEET["paper"]), rgb(SHEET["ink"]), rgb(SHEET["pale"])
COLOURS = tuple(rgb(colour) for colour in ANNOTATIONS)
"""One a class, repeating."""


def contact_sheet(dataset: Dataset, count: int = 24, columns: int = 6, *, annotate: bool = True) -> Image.Image:
    """The first `count` samples, `columns` to a row, each CELL pixels wide at most.

    annotate: draw boxes or tint the label map; the class and the context, where known, stand in the caption either way.
    """
    if count < 1 or columns < 1:
        raise ValueError(f"a sheet needs at least one picture and one column, got count={count}, columns={columns}")
    samples = [dataset[i] for i in range(min(count, len(dataset)))]
    columns = min(columns, len(samples))
    rows = -(-len(samples) // columns)
    width = 2 * MARGIN + columns * CELL + (columns - 1) * GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN + rows * (CELL + CAPTION) + (rows - 1) * GAP), PAPER)
    for i, sample in enumerate(samples):
        row, column = divmod(i, columns)
        spot = MARGIN + column * (CELL + GAP), MARGIN + row * (CELL + CAPTION + GAP)
        _place(sheet, spot, picture(sample, dataset.labels, CELL, annotate=annotate), caption(sample, dataset.labels))
    return sheet


def picture(sample: Sample, labels: Labels, side: int, *, annotate: bool = True) -> Image.Image:
    """One sample with its longer side scaled to `side`, its annotation drawn over it."""
    pixels = (sample.image.clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).cpu().numpy()
    scale = side / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    if annotate and isinstance(sample.target, MaskTarget):
        return Image.blend(image, _map(sample.target, size), 0.5)
    if annotate and isinstance(sample.target, BoxTarget):
        _boxes(image, sample.target, labels, scale)
    return image


def caption(sample: Sample, labels: Labels) -> tuple[str, str]:
    """What the picture shows, and its context or else its id."""
    return _content(sample, labels), sample.attributes.get("context", sample.id.rsplit("/", 1)[-1])


def _content(sample: Sample, labels: Labels) -> str:
    target = sample.target
    if isinstance(target, ClassTarget):
        return "no object" if target.label == ABSENT else labels.names[target.label]
    if isinstance(target, BoxTarget):
        return _count_names([labels.names[int(k)] for k in target.labels])
    values, counts = torch.unique(target.labels, return_counts=True)
    order = counts.argsort(descending=True).tolist()
    present = [labels.names[int(values[i])] for i in order if int(values[i]) < len(labels)]
    return ", ".join(present) or "no class"


def _count_names(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    return ", ".join(n if names.count(n) == 1 else f"{names.count(n)} × {n}" for n in unique) or "no object"


def _map(target: MaskTarget, size: tuple[int, int]) -> Image.Image:
    """Every class in its colour, ignored pixels black."""
    table = np.zeros((256, 3), np.uint8)
    for k in range(255):
        table[k] = [max(0, c - 40 * (k // len(COLOURS) % 3)) for c in COLOURS[k % len(COLOURS)]]
    return Image.fromarray(table[target.labels.cpu().numpy().clip(0, 255)]).resize(size, Image.Resampling.NEAREST)


def _boxes(image: Image.Image, target: BoxTarget, labels: Labels, scale: float) -> None:
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(10)
    for box, label, crowd in zip(target.boxes.tolist(), target.labels.tolist(), target.crowd.tolist(), strict=True):
        x1, y1, x2, y2 = (v * scale for v in box)
        colour = PALE if crowd else COLOURS[label % len(COLOURS)]
        draw.rounded_rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), radius=3, outline=colour, width=2)
        text = labels.names[label]
        wide = draw.textlength(text, font=font)
        left, top = min(x1, image.width - wide - 6), y1 - 13 if y1 >= 13 else y1
        draw.rounded_rectangle((left, top, left + wide + 6, top + 13), radius=3, fill=colour)
        light = 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2] > 150
        draw.text((left + 3, top + 6), text, fill=INK if light else PAPER, font=font, anchor="lm")


def _place(sheet: Image.Image, spot: tuple[int, int], image: Image.Image, words: tuple[str, str]) -> None:
    """The picture with rounded corners in the middle of its cell, two lines of caption under it."""
    left, top = spot[0] + (CELL - image.width) // 2, spot[1] + (CELL - image.height) // 2
    corners = Image.new("L", (image.width * 3, image.height * 3), 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, corners.width - 1, corners.height - 1), radius=24, fill=255)
    sheet.paste(image, (left, top), corners.resize(image.size, Image.Resampling.LANCZOS))
    draw = ImageDraw.Draw(sheet)
    for text, size, colour, drop in ((words[0], 14, INK, 13), (words[1], 12, PALE, 30)):
        font = ImageFont.load_default(size)
        draw.text((spot[0] + 2, spot[1] + CELL + drop), _shorten(draw, text, font), fill=colour, font=font, anchor="lm")


def _shorten(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, cut with an ellipsis where it is wider than a cell."""
    if draw.textlength(text, font=font) <= CELL - 4:
        return text
    while text and draw.textlength(text + "…", font=font) > CELL - 4:
        text = text[:-1]
    return text.rstrip(", ") + "…"
