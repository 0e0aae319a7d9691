"""Every colour of pictures, figures and pages, in one place. Imports nothing, so that any module may use it."""

from __future__ import annotations

INK, MUTED, FAINT, RULE, PAPER = "#1c2733", "#66727f", "#96a1ac", "#dfe4ea", "#ffffff"
"""Text, what stands behind it, what stands further behind, lines, and the ground."""

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
"""Okabe & Ito (2008), without yellow, which is too light for lines on white."""

BY_KIND = {"clean": INK, "attack": PALETTE[1], "worst case": PALETTE[1], "intervention": PALETTE[0], "control": "#9aa5b1"}
"""Of the kinds of conditions, in figures that show one model."""

CLASSES = (
    "#4E79A7", "#F28E2B", "#59A14F", "#E15759", "#B07AA1", "#76B7B2", "#EDC948", "#9C755F", "#FF9DA7", "#86BCB6",
    "#D37295", "#A0CBE8", "#8CD17D", "#B6992D", "#499894", "#FABFD2", "#79706E", "#D4A6C8", "#FFBE7D", "#2F5D8A",
)  # fmt: skip
"""Of classes by index, repeating: Tableau's twenty, for label maps and boxes of predictions."""

ANNOTATIONS = ("#0173B2", "#DE8F05", "#029E73", "#D55E00", "#CC78BC", "#CA9161", "#FBAFE4", "#767676", "#ECE133", "#56B4E9")
"""Of annotations in contact sheets, by class index, repeating: ten that colour-blind readers can tell apart (seaborn's "colorblind")."""

SHEET = {"paper": "#FAF9F6", "ink": "#26282E", "pale": "#80828A"}
"""A contact sheet's ground, text and captions."""

PAGE = {
    "ink": INK,
    "muted": MUTED,
    "faint": FAINT,
    "rule": "#e4e8ec",
    "paper": PAPER,
    "ground": "#f6f7f9",
    "accent": "#0072b2",
    "good": "#0b7a5b",
    "good-ground": "#e8f5f0",
    "warn": "#9a5b00",
    "warn-edge": "#e69f00",
    "warn-ground": "#fdf3e1",
    "bad": "#b3261e",
    "bad-ground": "#fcebea",
    "changed": "#b44a00",
}
"""Of the html report, by the names of its style sheet's custom properties."""


def rgb(colour: str) -> tuple[int, int, int]:
    """A colour as three numbers from 0 to 255.

    >>> rgb("#0072B2")
    (0, 114, 178)
    """
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def css() -> str:
    """The page's colours as custom properties of a style sheet: "--ink: #1c2733; ..." """
    return " ".join(f"--{name}: {colour};" for name, colour in PAGE.items())
