"""Chairs and tents: facing right, foot at the origin, longest side about one unit."""

from __future__ import annotations

from robustbench_cv.data.scenes.canvas import Pen
from robustbench_cv.data.scenes.named_rng import NamedRng
from robustbench_cv.data.scenes.noise_fields import RGB, mix, scale_colour
from robustbench_cv.data.scenes.palette import DARK, WHITE


def chair(pen: Pen, dice: NamedRng, paint: RGB) -> None:
    """A wooden chair in three-quarter view, or an armchair."""
    dark, light = scale_colour(paint, 0.68), mix(paint, WHITE, 0.22)
    if dice.chance("armchair", 0.4):
        for x in (-0.3, 0.32):
            pen.limb((x, 0.1), 0.035, (x, 0.03), 0.028, (0.4, 0.27, 0.18))
        pen.limb((-0.26, 0.3), 0.13, (-0.3, 0.8), 0.12, paint, shade=0.2)
        pen.limb((-0.14, 0.74), 0.16, (-0.05, 0.4), 0.12, dark, shade=0.1)
        pen.polygon(((-0.34, 0.12), (0.34, 0.12), (0.34, 0.3), (-0.34, 0.3)), paint, round=0.05)
        pen.limb((-0.08, 0.4), 0.075, (0.28, 0.4), 0.075, light, shade=0.2)
        pen.limb((-0.14, 0.5), 0.06, (0.32, 0.5), 0.07, scale_colour(paint, 0.86), shade=0.2)
        pen.polygon(((0.27, 0.12), (0.37, 0.12), (0.37, 0.5), (0.27, 0.5)), scale_colour(paint, 0.9), round=0.02)
        return
    thick = 0.034
    for x0, x1 in ((-0.1, -0.12), (0.34, 0.36)):
        pen.limb((x0, 0.5), thick, (x1, 0.1), thick, dark)
    pen.limb((-0.27, 0.46), thick * 1.1, (-0.34, 1.0 - thick), thick * 1.1, paint)
    pen.limb((-0.06, 0.55), thick, (-0.13, 0.97), thick, dark)
    if dice.chance("slats", 0.6):
        for y in (0.66, 0.79, 0.92):
            x = -0.27 - (y - 0.46) * 0.13
            pen.polygon(((x, y - 0.035), (x + 0.2, y - 0.02), (x + 0.2, y + 0.05), (x, y + 0.035)), light, round=0.006)
    else:
        pen.polygon(((-0.29, 0.6), (-0.08, 0.66), (-0.13, 0.94), (-0.33, 0.94)), light, round=0.015)
    pen.polygon(((-0.3, 0.43), (0.27, 0.43), (0.37, 0.53), (-0.1, 0.53)), light, round=0.012)
    pen.polygon(((-0.3, 0.4), (0.28, 0.4), (0.28, 0.44), (-0.3, 0.44)), dark, round=0.012, shade=0.0)
    for x0, x1 in ((-0.27, -0.3), (0.25, 0.28)):
        pen.limb((x0, 0.43), thick * 1.1, (x1, thick), thick * 1.1, paint)


def tent(pen: Pen, dice: NamedRng, paint: RGB) -> None:
    """A ridge tent in three-quarter view, or a dome."""
    dark, light = scale_colour(paint, 0.7), mix(paint, WHITE, 0.3)
    inside = scale_colour(mix(paint, DARK, 0.72), 0.8)
    if dice.chance("dome", 0.4):
        pen.ellipse(0.0, 0.02, 0.5, 0.52, paint, shade=0.24)
        pen.ellipse(0.1, 0.02, 0.24, 0.52, light, shade=0.1, inside=True)
        pen.ellipse(0.14, 0.02, 0.14, 0.38, inside, shade=0.0, inside=True)
        pen.limb((-0.46, 0.03), 0.035, (0.46, 0.03), 0.035, dark, shade=0.0)
        return
    pen.polygon(((-0.5, 0.0), (0.0, 0.0), (0.22, 0.62), (-0.24, 0.58)), dark, round=0.008, shade=0.12)
    pen.polygon(((-0.06, 0.0), (0.5, 0.0), (0.22, 0.62)), paint, round=0.008, shade=0.16)
    pen.polygon(((0.12, 0.0), (0.34, 0.0), (0.22, 0.43)), inside, shade=0.0)
    pen.polygon(((0.34, 0.0), (0.4, 0.0), (0.23, 0.43)), light, shade=0.0)
    pen.limb((0.22, 0.62), 0.016, (-0.24, 0.58), 0.016, light, shade=0.0)
