"""Every colour of pictures, figures and pages, in one place. Imports nothing of the package, so that any module may use it."""

from __future__ import annotations

import colorsys
import functools

INK, MUTED, FAINT, RULE, PAPER = "#1c2733", "#66727f", "#96a1ac", "#dfe4ea", "#ffffff"
"""Text, what stands behind it, what stands further behind, lines, and the ground."""

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
"""Okabe & Ito (2008), without yellow, which is too light for lines on white."""


CLASSES = (
    "#4E79A7", "#F28E2B", "#59A14F", "#E15759", "#B07AA1", "#76B7B2", "#EDC948", "#9C755F", "#7C1088", "#F4B8F4", "#941010",
    "#345828", "#10F494", "#1C40C4", "#8858E8", "#DC70F4", "#704C64", "#C42888", "#88A0F4", "#10E8F4", "#94C410", "#B8DCB8",
    "#107CF4", "#DCA0A0", "#10587C", "#107C10", "#F458AC", "#ACA064", "#7C4C10", "#4C7C64", "#644CAC", "#10A0D0",
)  # fmt: skip
"""Of the first classes by index, for label maps and boxes: eight of Tableau's, then always the colour furthest from all before it in
OKLab, so that no two of them look alike."""

ANNOTATIONS = ("#0173B2", "#DE8F05", "#029E73", "#D55E00", "#CC78BC", "#CA9161", "#FBAFE4", "#767676", "#ECE133", "#56B4E9")
"""Of annotations in contact sheets, by class index, repeating: ten that colour-blind readers can tell apart (seaborn's "colorblind")."""

SHEET = {"paper": "#FAF9F6", "ink": "#26282E", "pale": "#80828A"}
"""A contact sheet's ground, text and captions."""

PAGE = {
    "ink": INK,
    "muted": "#5a6672",
    "faint": "#6b7681",
    "rule": "#e1e6eb",
    "paper": PAPER,
    "ground": "#f5f6f8",
    "accent": "#005f96",
    "good": "#0a6b50",
    "good-ground": "#e8f5f0",
    "warn": "#855000",
    "warn-edge": "#e69f00",
    "warn-ground": "#fdf3e1",
    "bad": "#a8211a",
    "bad-ground": "#fcebea",
    "changed": "#a33f00",
}
"""Of the html report, by the names of its style sheet's custom properties: text has a contrast of 4.5 or more on its ground (WCAG AA)."""

PAGE_DARK = {
    "ink": "#e6eaee",
    "muted": "#a3afbb",
    "faint": "#8c98a4",
    "rule": "#2c353f",
    "paper": "#171c22",
    "ground": "#0f1317",
    "accent": "#6cb8e6",
    "good": "#5cc9a2",
    "good-ground": "#12291f",
    "warn": "#f0b955",
    "warn-edge": "#c98a00",
    "warn-ground": "#2b220f",
    "bad": "#ff9187",
    "bad-ground": "#331715",
    "changed": "#ff9f5f",
}
"""The same at night."""


@functools.cache
def model_colour(place: int) -> str:
    """The colour of a model by its place in the run: the palette, and after its end those of classes that look like none of it."""
    later = CLASSES[8:]
    return PALETTE[place] if place < len(PALETTE) else later[(place - len(PALETTE)) % len(later)]


@functools.cache
def class_colour(index: int) -> str:
    """The colour of a class; no two of the first 256 share one.

    >>> class_colour(0), class_colour(40) == class_colour(8)
    ('#4E79A7', False)
    """
    if 0 <= index < len(CLASSES):
        return CLASSES[index]
    hue, ring = index * 0.61803398875 % 1, index % 3
    red, green, blue = colorsys.hls_to_rgb(hue, (0.42, 0.56, 0.7)[ring], (0.75, 0.5, 0.9)[ring])
    return f"#{round(red * 255):02X}{round(green * 255):02X}{round(blue * 255):02X}"


def text_on(colour: str) -> str:
    """Ink or paper: what can be read on a colour (relative luminance, WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb(colour))]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return PAPER if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.07 else INK


def rgb(colour: str) -> tuple[int, int, int]:
    """A colour as three numbers from 0 to 255.

    >>> rgb("#0072B2")
    (0, 114, 178)
    """
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def css(*, dark: bool = False) -> str:
    """The page's colours as custom properties of a style sheet: "--ink: #1c2733; ..." """
    return " ".join(f"--{name}: {colour};" for name, colour in (PAGE_DARK if dark else PAGE).items())
