"""Cars, boats and planes, in their own frames: facing right, foot at the origin, longest side about one unit."""

from __future__ import annotations

import math

from robustbench_cv.data.scenes.depth import PAINT, SIDE, Depth, FigurePen, Point, at, level, pair, thick, turned
from robustbench_cv.data.scenes.named_rng import NamedRng
from robustbench_cv.data.scenes.noise_fields import RGB, mix, scale_colour
from robustbench_cv.data.scenes.palette import DARK, GLASS, PAINTS, STEEL, WHITE


def car(pen: FigurePen, dice: NamedRng, paint: RGB) -> None:
    """A saloon, a hatchback or a van."""
    shape = dice.choice("shape", ("saloon", "hatchback", "van"))
    dark, light = scale_colour(paint, 0.72), mix(paint, WHITE, 0.25)
    lamp, red = (1.0, 0.93, 0.66), (0.85, 0.16, 0.13)
    roof = {"saloon": 0.4, "hatchback": 0.42, "van": 0.5}[shape]
    cabin = {
        "saloon": ((-0.34, 0.23), (0.28, 0.23), (0.1, roof), (-0.19, roof)),
        "hatchback": ((-0.46, 0.23), (0.27, 0.23), (0.1, roof), (-0.4, roof)),
        "van": ((-0.46, 0.23), (0.38, 0.23), (0.27, roof), (-0.46, roof)),
    }[shape]
    pen.polygon(cabin, paint, round=0.02, depth=thick(0.15))
    pen.polygon(((-0.46, 0.12), (0.46, 0.12), (0.47, 0.2), (0.36, 0.245), (-0.47, 0.26)), paint, round=0.03, depth=thick(0.18))
    pen.polygon(((-0.46, 0.11), (0.46, 0.11), (0.46, 0.145), (-0.46, 0.145)), dark, round=0.02, shade=0.0, depth=PAINT)
    pen.polygon(((-0.46, 0.235), (0.36, 0.225), (0.36, 0.24), (-0.46, 0.25)), light, shade=0.0, depth=PAINT)
    (ax, _), (bx, _), (cx, _), (dx, _) = cabin
    low, high = 0.265, roof - 0.025
    middle = (cx + dx) / 2 + 0.02
    back = ((ax + 0.07, low), (middle - 0.015, low), (middle - 0.015, high), (dx + 0.03, high))
    front = ((middle + 0.015, low), (bx - 0.07, low), (cx - 0.02, high), (middle + 0.015, high))
    for pane in (back, front):
        pen.polygon(pane, GLASS, round=0.008, shade=0.22, depth=PAINT)
    for start, end in ((cabin[1], cabin[2]), (cabin[3], cabin[0])):
        _screen(pen, start, end)
    for x in (-0.28, 0.28):
        pen.ellipse(x, 0.1, 0.115, 0.115, dark, shade=0.0, depth=pair(0.18, 0.045))
        pen.ellipse(x, 0.095, 0.095, 0.095, DARK, shade=0.1, depth=pair(0.185, 0.05))
        pen.ellipse(x, 0.095, 0.048, 0.048, STEEL, shade=0.2, depth=PAINT)
    pen.ellipse(0.465, 0.2, 0.028, 0.03, lamp, shade=0.0, depth=SIDE)
    pen.ellipse(-0.478, 0.21, 0.018, 0.034, red, shade=0.0, depth=SIDE)
    pen.ellipse(0.485, 0.2, 0.028, 0.03, lamp, shade=0.0, depth=turned(0.13, 0.04, both=True))
    pen.ellipse(-0.485, 0.21, 0.028, 0.034, red, shade=0.0, depth=turned(0.13, 0.04, both=True))


def _screen(pen: FigurePen, start: Point, end: Point) -> None:
    """The glass before or behind a cabin, along its edge from start to end, which the side does not show."""
    across, up = end[0] - start[0], end[1] - start[1]
    length = math.sqrt(across * across + up * up)
    out = (0.024 * up / length, -0.024 * across / length)
    low, high = ((start[0] + across * t, start[1] + up * t) for t in ((0.2, 0.92) if up > 0 else (0.8, 0.08)))
    glass = (low, (low[0] + out[0], low[1] + out[1]), (high[0] + out[0], high[1] + out[1]), high)
    pen.polygon(glass, GLASS, shade=0.22, depth=turned(half=0.13))


AROUND = Depth(paint=True, shown="turned")
"""Paint that the turned hull shows all around."""


def boat(pen: FigurePen, dice: NamedRng, paint: RGB) -> None:
    """A sailing boat or a little steamer."""
    trim = dice.choice("trim", PAINTS)
    wood = (0.46, 0.31, 0.2)
    if dice.chance("sails", 0.6):
        pen.limb((0.02, 0.15), 0.018, (0.02, 0.97), 0.014, wood)
        pen.polygon(((0.07, 0.24), (0.42, 0.24), (0.05, 0.92)), WHITE, round=0.012, shade=0.2, depth=thick(0.015))
        pen.polygon(((-0.38, 0.26), (-0.02, 0.26), (-0.02, 0.95)), mix(trim, WHITE, 0.15), round=0.012, shade=0.2, depth=thick(0.015))
        pen.polygon(((0.02, 0.95), (0.02, 1.0), (-0.1, 0.975)), paint, shade=0.0)
        deck = 0.2
    else:
        pen.polygon(((-0.3, 0.2), (0.12, 0.2), (0.06, 0.46), (-0.3, 0.46)), WHITE, round=0.02, depth=thick(0.08))
        pen.polygon(((-0.08, 0.46), (0.05, 0.46), (0.05, 0.7), (-0.08, 0.7)), trim, round=0.008, depth=thick(0.05))
        pen.polygon(((-0.085, 0.6), (0.055, 0.6), (0.055, 0.65), (-0.085, 0.65)), WHITE, round=0.008, shade=0.0, depth=PAINT)
        for x in (-0.22, -0.1, 0.01):
            pen.ellipse(x, 0.35, 0.042, 0.042, scale_colour(GLASS, 0.8), shade=0.3, depth=PAINT)
        pen.limb((0.27, 0.2), 0.014, (0.27, 0.5), 0.012, wood)
        pen.polygon(((0.28, 0.4), (0.4, 0.45), (0.28, 0.5)), trim, shade=0.0)
        deck = 0.22
    pen.polygon(((-0.36, 0.0), (0.32, 0.0), (0.5, deck + 0.03), (-0.48, deck)), paint, round=0.012, shade=0.18, depth=thick(0.14))
    keel = scale_colour(paint, 0.6)
    pen.polygon(((-0.46, deck - 0.045), (0.45, deck - 0.02), (0.5, deck + 0.03), (-0.48, deck)), WHITE, shade=0.0, inside=True, depth=SIDE)
    pen.polygon(((-0.4, -0.02), (0.36, -0.02), (0.4, 0.06), (-0.42, 0.06)), keel, shade=0.0, inside=True, depth=SIDE)
    pen.polygon(((-0.6, deck - 0.045), (0.6, deck - 0.02), (0.6, deck + 0.06), (-0.6, deck + 0.04)), WHITE, shade=0.0, depth=AROUND)
    pen.polygon(((-0.6, -0.02), (0.6, -0.02), (0.6, 0.06), (-0.6, 0.06)), keel, shade=0.0, depth=AROUND)


def plane(pen: FigurePen, dice: NamedRng, paint: RGB) -> None:
    """An airliner or a propeller plane, seen from the side."""
    body = WHITE if dice.chance("white", 0.5) else mix(dice.choice("body", PAINTS), WHITE, 0.3)
    if body == WHITE and min(paint) > 0.85:
        paint = PAINTS[6]
    y = 0.2
    pen.drawn_from(0.0, 0.38)
    pen.limb((-0.42, y + 0.09), 0.012, (-0.3, y + 0.05), 0.03, scale_colour(paint, 0.75), depth=SIDE)
    pen.limb((-0.42, y + 0.05), 0.012, (-0.3, y + 0.05), 0.03, paint, depth=turned(0.16, end=0.0, both=True))
    pen.polygon(((-0.46, y + 0.02), (-0.26, y + 0.02), (-0.38, y + 0.27), (-0.48, y + 0.27)), paint, round=0.008, depth=thick(0.012))
    pen.polygon(
        ((-0.02, y + 0.04), (0.14, y + 0.04), (-0.06, y + 0.23), (-0.13, y + 0.22)), scale_colour(paint, 0.7), round=0.006, depth=SIDE
    )
    pen.limb((-0.47, y + 0.045), 0.022, (-0.2, y + 0.005), 0.075, body, shade=0.3)
    pen.limb((-0.2, y + 0.005), 0.075, (0.38, y), 0.082, body, shade=0.3)
    pen.limb((0.3, y + 0.0), 0.081, (0.445, y - 0.015), 0.05, body, shade=0.3)
    pen.polygon(((-0.5, y - 0.045), (0.5, y - 0.045), (0.5, y - 0.015), (-0.5, y - 0.015)), paint, shade=0.0, inside=True, depth=at(0.07))
    pen.polygon(((0.36, y + 0.015), (0.445, y + 0.015), (0.4, y + 0.062), (0.36, y + 0.062)), DARK, shade=0.0, inside=True, depth=at(0.07))
    for i in range(5):
        pen.ellipse(-0.17 + 0.1 * i, y + 0.028, 0.024, 0.026, scale_colour(GLASS, 0.62), shade=0.2, depth=Depth(0.07, paint=True))
    pen.polygon(
        ((-0.27, y - 0.2), (-0.17, y - 0.2), (0.16, y - 0.03), (-0.04, y - 0.03)), scale_colour(paint, 0.92), round=0.012, depth=SIDE
    )
    for side in (1, -1):
        wing = ((-0.04, side * 0.05), (0.16, side * 0.05), (-0.17, side * 0.5), (-0.27, side * 0.5))
        pen.polygon(wing, scale_colour(paint, 0.92), round=0.006, depth=level(y - 0.02, 0.006))
    if dice.chance("propeller", 0.35):
        pen.ellipse(0.5, y - 0.015, 0.026, 0.15, mix(STEEL, DARK, 0.35), shade=0.0, depth=thick(0.15))
        pen.ellipse(0.49, y - 0.015, 0.03, 0.032, DARK)
    else:
        pen.limb((-0.04, y - 0.13), 0.04, (0.06, y - 0.13), 0.046, STEEL, shade=0.25, depth=SIDE)
        pen.ellipse(0.1, y - 0.13, 0.016, 0.042, DARK, shade=0.0, depth=SIDE)
        pen.limb((-0.04, y - 0.05), 0.04, (0.06, y - 0.05), 0.046, STEEL, shade=0.25, depth=turned(0.22, both=True))
        pen.ellipse(0.1, y - 0.05, 0.016, 0.042, DARK, shade=0.0, depth=turned(0.22, 0.042, both=True))
