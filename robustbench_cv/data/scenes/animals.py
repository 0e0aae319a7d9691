"""Cows, dogs and camels: facing right, hooves at the origin, longest side about one unit."""

from __future__ import annotations

from robustbench_cv.data.scenes.depth import PAINT, FigurePen, at, pair, thick
from robustbench_cv.data.scenes.named_rng import NamedRng
from robustbench_cv.data.scenes.noise_fields import RGB, mix, scale_colour
from robustbench_cv.data.scenes.palette import COATS, DARK, PAINTS, WHITE


def _legs(pen: FigurePen, dice: NamedRng, spots: tuple[float, ...], hip: float, width: float, coat: RGB, hoof: RGB, stride: float) -> None:
    """Far legs darker, near legs over them; `stride` is how far a foot may stand from below its hip."""
    for i, x in enumerate(spots):
        foot = x + dice.between(f"leg {i}", -stride, stride)
        far = i % 2 == 0
        shade = scale_colour(coat, 0.72 if far != pen.behind else 0.95)
        beside = at(-2 * width if far else 2 * width)
        pen.limb((x, hip), width * 1.3, (foot, width * 0.8), width * 0.8, shade, depth=beside)
        pen.ellipse(foot + 0.008, width * 0.45, width * 1.0, width * 0.55, hoof, shade=0.0, depth=at(beside.z, width))


def cow(pen: FigurePen, dice: NamedRng, coat: RGB) -> None:
    """Standing or grazing, plain or patched."""
    patch = WHITE if max(coat) < 0.6 else scale_colour(COATS[4], 1.1)
    pen.limb((-0.4, 0.56), 0.018, (-0.46, 0.26), 0.022, scale_colour(coat, 0.8))
    pen.ellipse(-0.465, 0.22, 0.03, 0.05, scale_colour(coat, 0.55), shade=0.0)
    _legs(pen, dice, (-0.32, -0.24, 0.14, 0.22), hip=0.34, width=0.045, coat=coat, hoof=DARK, stride=0.035)
    pen.ellipse(-0.17, 0.27, 0.075, 0.06, (0.93, 0.68, 0.66), shade=0.1)
    pen.limb((-0.24, 0.46), 0.175, (0.14, 0.47), 0.165, coat, shade=0.24)
    pen.polygon(((-0.36, 0.46), (0.2, 0.47), (0.2, 0.62), (-0.38, 0.61)), coat, round=0.03, shade=0.1, depth=thick(0.09))
    if dice.chance("patched", 0.7):
        for i in range(3):
            x, y = dice.between(f"patch x {i}", -0.36, 0.16), dice.between(f"patch y {i}", 0.38, 0.6)
            size = dice.between(f"patch {i}", 0.07, 0.13)
            pen.ellipse(x, y, size, size * 0.8, patch, inside=True, shade=0.1)
    drop = -0.3 if dice.chance("grazing", 0.35) else dice.between("head", -0.04, 0.05)
    x, y = (0.39, 0.62 + drop) if drop > -0.2 else (0.41, 0.27)
    pen.limb((0.16, 0.52), 0.13, (x - 0.06, y), 0.075, coat, shade=0.16)
    horn = (0.93, 0.88, 0.74)
    pen.limb((x - 0.05, y + 0.09), 0.02, (x - 0.03, y + 0.17), 0.012, horn, depth=at(-0.05))
    pen.limb((x + 0.01, y + 0.09), 0.02, (x + 0.06, y + 0.16), 0.012, horn, depth=at(0.05))
    pen.limb((x - 0.04, y + 0.03), 0.085, (x + 0.06, y - 0.07), 0.062, coat, shade=0.2)
    pen.ellipse(x - 0.1, y + 0.06, 0.06, 0.032, scale_colour(coat, 0.75), shade=0.0, depth=pair(0.085, 0.04))
    pen.ellipse(x + 0.075, y - 0.09, 0.062, 0.05, (0.92, 0.7, 0.66), shade=0.1)
    pen.ellipse(x + 0.01, y + 0.03, 0.017, 0.02, DARK, shade=0.0, depth=PAINT)


def dog(pen: FigurePen, dice: NamedRng, coat: RGB) -> None:
    """Standing or sitting, with a collar."""
    collar = dice.choice("collar", PAINTS)
    ear = scale_colour(coat, 0.62) if dice.chance("dark ears", 0.6) else mix(coat, WHITE, 0.35)
    if dice.chance("sitting", 0.4):
        pen.limb((-0.22, 0.08), 0.045, (-0.42, 0.24), 0.03, scale_colour(coat, 0.85))
        pen.limb((0.1, 0.4), 0.07, (0.12, 0.06), 0.05, scale_colour(coat, 0.72 if not pen.behind else 1.0), depth=at(-0.07))
        pen.limb((-0.13, 0.2), 0.2, (0.06, 0.52), 0.13, coat, shade=0.22)
        pen.ellipse(-0.12, 0.15, 0.17, 0.15, coat, shade=0.2, depth=pair(0.08, 0.13))
        pen.limb((-0.12, 0.045), 0.045, (0.02, 0.04), 0.04, scale_colour(coat, 0.88), depth=pair(0.17))
        pen.limb((0.14, 0.42), 0.07, (0.17, 0.06), 0.05, coat, depth=at(0.07))
        pen.ellipse(0.2, 0.04, 0.07, 0.04, coat, shade=0.0, depth=pair(0.07))
        x, y = 0.13, 0.74
    else:
        wag = dice.between("wag", -0.05, 0.05)
        pen.limb((-0.34, 0.45), 0.045, (-0.47 + wag, 0.7), 0.03, coat)
        _legs(pen, dice, (-0.28, -0.2, 0.16, 0.24), hip=0.3, width=0.048, coat=coat, hoof=scale_colour(coat, 0.9), stride=0.045)
        pen.limb((-0.25, 0.4), 0.115, (0.2, 0.42), 0.14, coat, shade=0.24)
        pen.limb((0.2, 0.46), 0.12, (0.3, 0.62), 0.1, coat)
        x, y = 0.32, 0.7
    pen.limb((x - 0.12, y - 0.12), 0.05, (x + 0.03, y - 0.16), 0.05, collar, inside=True)
    pen.limb((x, y), 0.13, (x + 0.15, y - 0.05), 0.07, coat, shade=0.2)
    pen.ellipse(x + 0.215, y - 0.03, 0.032, 0.03, DARK, shade=0.0)
    pen.ellipse(x + 0.07, y + 0.04, 0.021, 0.024, DARK, shade=0.0, depth=PAINT)
    if dice.chance("pricked", 0.4):
        pen.polygon(((x - 0.11, y + 0.04), (x + 0.0, y + 0.1), (x - 0.1, y + 0.19)), ear, round=0.022, depth=pair(0.075, 0.01))
    else:
        pen.limb((x - 0.06, y + 0.07), 0.05, (x - 0.12, y - 0.1), 0.062, ear, depth=pair(0.11))


def camel(pen: FigurePen, dice: NamedRng, coat: RGB) -> None:
    """One hump or two, sometimes under a saddle cloth."""
    pen.limb((-0.36, 0.56), 0.016, (-0.42, 0.36), 0.022, scale_colour(coat, 0.7))
    _legs(pen, dice, (-0.3, -0.22, 0.1, 0.18), hip=0.44, width=0.036, coat=coat, hoof=scale_colour(coat, 0.6), stride=0.04)
    if dice.chance("two humps", 0.55):
        pen.limb((-0.2, 0.6), 0.12, (-0.19, 0.79), 0.05, coat, shade=0.2)
        pen.limb((0.06, 0.6), 0.12, (0.05, 0.79), 0.05, coat, shade=0.2)
        saddle = (-0.07, 0.67)
    else:
        pen.limb((-0.09, 0.6), 0.16, (-0.08, 0.82), 0.06, coat, shade=0.2)
        saddle = (-0.08, 0.72)
    pen.limb((-0.25, 0.56), 0.135, (0.13, 0.57), 0.13, coat, shade=0.24)
    if dice.chance("saddle", 0.5):
        cloth = dice.choice("cloth", PAINTS)
        x, y = saddle
        pen.polygon(((x - 0.11, 0.5), (x + 0.11, 0.5), (x + 0.09, y + 0.1), (x - 0.09, y + 0.1)), cloth, round=0.02, inside=True)
        pen.polygon(((x - 0.12, 0.5), (x + 0.12, 0.5), (x + 0.12, 0.54), (x - 0.12, 0.54)), mix(cloth, WHITE, 0.6), inside=True, shade=0.0)
    lift = dice.between("neck", -0.05, 0.06)
    pen.limb((0.16, 0.56), 0.095, (0.31, 0.55), 0.065, coat)
    pen.limb((0.31, 0.55), 0.065, (0.37, 0.84 + lift), 0.05, coat)
    pen.limb((0.36, 0.9 + lift), 0.058, (0.47, 0.85 + lift), 0.042, coat, shade=0.2)
    pen.ellipse(0.34, 0.95 + lift, 0.022, 0.034, scale_colour(coat, 0.75), shade=0.0, depth=pair(0.045))
    pen.ellipse(0.4, 0.9 + lift, 0.016, 0.018, DARK, shade=0.0, depth=PAINT)
