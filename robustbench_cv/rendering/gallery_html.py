"""A gallery on the page: a tile for each image, in one order for every sample, with layers of truth, prediction and difference over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from robustbench_cv.palette import class_colour, text_on
from robustbench_cv.rendering import escape, film_strips
from robustbench_cv.rendering.film_strips import Frame, Gallery, Pixels, Strip
from robustbench_cv.rendering.prediction_text import Shown, class_name, drawn_boxes, label_map, truth_text
from robustbench_cv.rendering.thumbnails import data_uri, mask_uri, symbol

_FINE = 64
"""Pixels a side below which an image is shown as squares, not smoothed."""

_MARKS = {"broken": "✗ broken", "held": "✓ held", "": ""}


def gallery_html(gallery: Gallery) -> str:
    """A <figure>; images are symbols in it, each defined once. All text is escaped."""
    symbols: dict[str, str] = {}
    strips = [line for strip in gallery.strips for line in _strip(gallery, strip, symbols)]
    hidden = f'<svg class="symbols" width="0" height="0" aria-hidden="true" focusable="false">\n{"".join(symbols.values())}</svg>'
    return "\n".join([*_head(gallery), hidden, *strips, *_tail(gallery)])


def _head(gallery: Gallery) -> Iterator[str]:
    label = escape.html(gallery.label)
    yield f'<figure class="gallery" id="{label}" data-model="{escape.html(gallery.model)}">'
    yield f"<figcaption>{escape.html(gallery.caption)}</figcaption>"
    masks = any("labels" in f.truth and "boxes" not in f.truth for strip in gallery.strips for f in strip.frames)
    boxes = any("boxes" in frame.prediction for strip in gallery.strips for frame in strip.frames)
    layers = [("pred", "predictions", True), ("truth", "truth", boxes)] if boxes or masks else []
    yield '<fieldset class="layers"><legend>Show</legend>'
    for name, words, on in (*layers, ("diff", "difference", False)):
        yield f'<label><input type="checkbox" class="show-{name}"{" checked" if on else ""}> {words}</label>'
    yield "</fieldset>"
    if seen := film_strips.seen_classes(gallery.strips):
        classes = gallery.strips[0].classes
        chips = (f'<li><i style="background:{class_colour(k)}"></i>{escape.html(class_name(classes, k))}</li>' for k in seen)
        truth = '<li><i class="dashed"></i>truth</li>' if boxes else ""
        yield f'<ul class="legend">{"".join(chips)}{truth}</ul>'


def _tail(gallery: Gallery) -> Iterator[str]:
    if gallery.notes:
        yield '<ul class="notes">' + "".join(f"<li>{escape.html(note)}</li>" for note in gallery.notes) + "</ul>"
    yield "</figure>"


def _strip(gallery: Gallery, strip: Strip, symbols: dict[str, str]) -> Iterator[str]:
    anchor = escape.slug(f"{gallery.label} {strip.title}")
    kept = sum(frame.image is not None for frame in strip.frames[1:])
    truth = truth_text(strip.frames[0].truth, strip.classes)
    said = ", ".join(part for part in (truth, f"broken by {strip.broken} of {kept} conditions" if kept else "") if part)
    yield f'<section class="strip" aria-labelledby="{anchor}"><h4 id="{anchor}"><a href="#{anchor}">{escape.html(strip.title)}</a>'
    yield f"<span>{escape.html(said)}</span></h4>"
    yield '<div class="tiles">'
    yield from (_tile(strip, frame, symbols) for frame in strip.frames)
    yield "</div></section>"


def _tile(strip: Strip, frame: Frame, symbols: dict[str, str]) -> str:
    heading = f'<p class="heading">{escape.html(frame.heading)}</p>'
    facts = f'data-condition="{escape.html(frame.heading)}" data-outcome="{frame.outcome}"'
    if frame.image is None:
        return f'<div class="tile none" {facts}>{heading}<p class="says">not kept</p></div>'
    pixels, answer = film_strips.read(frame.image), strip.answer(frame)
    height, width = pixels.shape[:2]
    made = film_strips.difference(frame, pixels)
    alt = ", ".join(part for part in (strip.title, frame.heading, answer.text, frame.outcome) if part)
    layers = [
        _use(data_uri(pixels), pixels, symbols, "image"),
        *_map_layer(frame.prediction, frame, pixels, symbols, "pred"),
        *_map_layer(frame.truth, frame, pixels, symbols, "truth"),
        _box_layer(frame.truth, strip, pixels, is_truth=True),
        _box_layer(frame.prediction, strip, pixels, is_truth=False),
        "" if made is None else _use(data_uri(made[0], quality=60), pixels, symbols, "diff"),
    ]
    drawn = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape.html(alt)}">{"".join(layers)}</svg>'
    gain = "" if made is None else f'<p class="gain">difference × {made[1]}</p>'
    mark = f'<b class="{frame.outcome}">{_MARKS[frame.outcome]}</b> ' if frame.outcome else ""
    is_clean = " clean" if frame.before is None else ""
    return (
        f'<div class="tile{is_clean}" {facts}>{heading}<div class="image">{drawn}</div>{gain}'
        f'<p class="says">{mark}{escape.html(answer.text)}</p></div>'
    )


def _use(uri: str, pixels: Pixels, symbols: dict[str, str], layer: str) -> str:
    height, width = pixels.shape[:2]
    name, element = symbol(uri, width, height, smooth=max(height, width) >= _FINE and layer in ("image", "diff"))
    symbols.setdefault(name, element)
    return f'<use class="{layer}" href="#{name}" width="{width}" height="{height}"/>'


def _map_layer(shown: Shown, frame: Frame, pixels: Pixels, symbols: dict[str, str], layer: str) -> Iterator[str]:
    labels = None if frame.image is None else label_map(shown, frame.image.parent)
    if labels is not None and labels.shape == pixels.shape[:2]:
        yield _use(mask_uri(labels), pixels, symbols, layer)


def _box_layer(shown: Mapping[str, object], strip: Strip, pixels: Pixels, *, is_truth: bool) -> str:
    """Boxes in image coordinates: a truth in dashes, a prediction in full with class and score above (or inside, at the top edge)."""
    height, width = pixels.shape[:2]
    size = max(height, width) * 0.062
    parts = []
    for (x1, y1, x2, y2), score, label in drawn_boxes(shown, 0.0 if is_truth else strip.threshold):
        name, colour = class_name(strip.classes, label), class_colour(label)
        place = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"'
        if is_truth:
            parts += [f'<rect class="under" {place}/><rect class="box" {place}><title>{escape.html(name)}</title></rect>']
            continue
        text = f"{name} {score:.2f}" if score is not None else name
        wide = len(text) * size * 0.56 + size * 0.5
        left = max(0.0, min(x1, width - wide))
        top = y1 - size * 1.3 if y1 >= size * 1.3 else y1
        parts += [
            f'<rect class="box" {place} stroke="{colour}"/>',
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{size * 1.3:.1f}" fill="{colour}"/>',
            f'<text x="{left + size * 0.25:.1f}" y="{top + size:.1f}" font-size="{size:.1f}" fill="{text_on(colour)}">'
            f"{escape.html(text)}</text>",
        ]
    return f'<g class="{"truth" if is_truth else "pred"}">{"".join(parts)}</g>' if parts else ""
