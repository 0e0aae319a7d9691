"""Chairs and tents: facing right, foot at the origin, longest side about one unit."""

from __future__ import annotations

from robustbench_cv.data.scenes.depth import SIDE, Depth, FigurePen, level, pair, thick, turned
from robustbench_cv.data.scenes.named_rng import NamedRng
from robustbench_cv.data.scenes.noise_fields import RGB, mix, scale_colour
from robustbench_cv.data.scenes.palette import DARK, WHITE


def chair(pen: FigurePen, dice: NamedRng, paint: RGB) -> None:
    """A wooden chair in three-quarter view, or an armchair."""
    dark, light = scale_colour(paint, 0.68), mix(paint, WHITE, 0.22)
    if dice.chance("armchair", 0.4):
        for x in (-0.3, 0.32):
            pen.limb((x, 0.1), 0.035, (x, 0.03), 0.028, (0.4, 0.27, 0.18), depth=pair(0.24))
        pen.limb((-0.26, 0.3), 0.13, (-0.3, 0.8), 0.12, paint, shade=0.2, depth=pair(0.18))
        pen.polygon(((-0.36, 0.2), (-0.16, 0.2), (-0.2, 0.88), (-0.4, 0.88)), paint, round=0.02, depth=turned(half=0.2))
        pen.limb((-0.14, 0.74), 0.16, (-0.05, 0.4), 0.12, dark, shade=0.1)
        pen.polygon(((-0.34, 0.12), (0.34, 0.12), (0.34, 0.3), (-0.34, 0.3)), paint, round=0.05, depth=thick(0.24))
        pen.limb((-0.08, 0.4), 0.075, (0.28, 0.4), 0.075, light, shade=0.2, depth=pair(0.1))
        pen.polygon(((-0.08, 0.35), (0.3, 0.35), (0.3, 0.45), (-0.08, 0.45)), light, round=0.02, depth=turned(half=0.18))
        pen.limb((-0.14, 0.5), 0.06, (0.32, 0.5), 0.07, scale_colour(paint, 0.86), shade=0.2, depth=pair(0.24))
        pen.polygon(((0.27, 0.12), (0.37, 0.12), (0.37, 0.5), (0.27, 0.5)), scale_colour(paint, 0.9), round=0.02, depth=pair(0.24, 0.05))
        return
    wide = 0.034
    slatted = dice.chance("slats", 0.6)
    for x0, x1 in ((-0.1, -0.12), (0.34, 0.36)):
        pen.limb((x0, 0.5), wide, (x1, 0.1), wide, dark, depth=SIDE)
    pen.limb((-0.27, 0.46), wide * 1.1, (-0.34, 1.0 - wide), wide * 1.1, paint, depth=SIDE)
    pen.limb((-0.06, 0.55), wide, (-0.13, 0.97), wide, dark, depth=SIDE)
    if slatted:
        for y in (0.66, 0.79, 0.92):
            x = -0.27 - (y - 0.46) * 0.13
            pen.polygon(((x, y - 0.035), (x + 0.2, y - 0.02), (x + 0.2, y + 0.05), (x, y + 0.035)), light, round=0.006, depth=SIDE)
    else:
        pen.polygon(((-0.29, 0.6), (-0.08, 0.66), (-0.13, 0.94), (-0.33, 0.94)), light, round=0.015, depth=SIDE)
    pen.polygon(((-0.3, 0.43), (0.27, 0.43), (0.37, 0.53), (-0.1, 0.53)), light, round=0.012, depth=SIDE)
    pen.polygon(((-0.3, 0.4), (0.28, 0.4), (0.28, 0.44), (-0.3, 0.44)), dark, round=0.012, shade=0.0, depth=SIDE)
    for x0, x1 in ((-0.27, -0.3), (0.25, 0.28)):
        pen.limb((x0, 0.43), wide * 1.1, (x1, wide), wide * 1.1, paint, depth=SIDE)
    _turned_chair(pen, paint, light, slatted=slatted)


def _turned_chair(pen: FigurePen, paint: RGB, light: RGB, *, slatted: bool) -> None:
    """The wooden chair's parts where they are, which the drawing shows in three-quarter view."""
    pen.drawn_from(28.0, 0.29)
    wide, half = 0.036, 0.2
    for x, foot in ((-0.24, -0.27), (0.24, 0.26)):
        pen.limb((x, 0.44), wide, (foot, 0.08), wide, paint, depth=turned(half, both=True))
    pen.limb((-0.24, 0.48), wide, (-0.32, 0.94), wide, paint, depth=turned(half, both=True))
    for low, high in ((0.62, 0.68), (0.74, 0.8), (0.86, 0.92)) if slatted else ((0.62, 0.92),):
        x0, x1 = (-0.24 - (y - 0.48) * 0.17 for y in (low, high))
        board = ((x0 - 0.012, low), (x0 + 0.012, low), (x1 + 0.012, high), (x1 - 0.012, high))
        pen.polygon(board, light, round=0.006, depth=turned(half=half))
    pen.polygon(((-0.27, -half), (0.27, -half), (0.27, half), (-0.27, half)), light, round=0.012, depth=level(0.47, 0.02))


def tent(pen: FigurePen, dice: NamedRng, paint: RGB) -> None:
    """A ridge tent in three-quarter view, or a dome."""
    dark, light = scale_colour(paint, 0.7), mix(paint, WHITE, 0.3)
    inside = scale_colour(mix(paint, DARK, 0.72), 0.8)
    if dice.chance("dome", 0.4):
        pen.ellipse(0.0, 0.02, 0.5, 0.52, paint, shade=0.24)
        pen.ellipse(0.1, 0.02, 0.24, 0.52, light, shade=0.1, inside=True)
        pen.ellipse(0.14, 0.02, 0.14, 0.38, inside, shade=0.0, inside=True)
        pen.limb((-0.46, 0.03), 0.035, (0.46, 0.03), 0.035, dark, shade=0.0, depth=SIDE)
        pen.limb((-0.6, 0.03), 0.035, (0.6, 0.03), 0.035, dark, shade=0.0, depth=Depth(paint=True, shown="turned"))
        return
    pen.polygon(((-0.5, 0.0), (0.0, 0.0), (0.22, 0.62), (-0.24, 0.58)), dark, round=0.008, shade=0.12, depth=SIDE)
    pen.polygon(((-0.06, 0.0), (0.5, 0.0), (0.22, 0.62)), paint, round=0.008, shade=0.16, depth=SIDE)
    pen.polygon(((0.12, 0.0), (0.34, 0.0), (0.22, 0.43)), inside, shade=0.0, depth=SIDE)
    pen.polygon(((0.34, 0.0), (0.4, 0.0), (0.23, 0.43)), light, shade=0.0, depth=SIDE)
    pen.limb((0.22, 0.62), 0.016, (-0.24, 0.58), 0.016, light, shade=0.0, depth=SIDE)
    _turned_tent(pen, paint, light, inside)


def _turned_tent(pen: FigurePen, paint: RGB, light: RGB, inside: RGB) -> None:
    """The ridge tent as it stands, its entrance at the end that the drawing shows on the right."""
    pen.drawn_from(-40.0, 0.0)
    long = 0.36
    pen.polygon(((-0.36, 0.0), (0.36, 0.0), (0.0, 0.61)), paint, round=0.008, shade=0.16, depth=turned(half=long))
    pen.polygon(((-0.14, 0.0), (0.14, 0.0), (0.0, 0.43)), inside, shade=0.0, depth=turned(long, 0.014))
    pen.polygon(((0.14, 0.0), (0.22, 0.0), (0.01, 0.43)), light, shade=0.0, depth=turned(long, 0.016))
    pen.limb((0.0, 0.62), 0.016, (0.0, 0.62), 0.016, light, shade=0.0, depth=turned(long, end=-long))
