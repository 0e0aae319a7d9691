"""People on foot and on skis: facing right, feet at the origin, longest side about one unit."""

from __future__ import annotations

from robustbench_cv.data.scenes.depth import PAINT, SIDE, FigurePen, at, pair, thick, turned
from robustbench_cv.data.scenes.named_rng import NamedRng
from robustbench_cv.data.scenes.noise_fields import RGB, scale_colour
from robustbench_cv.data.scenes.palette import DARK, HAIRS, PAINTS, SKINS, STEEL


def person(pen: FigurePen, dice: NamedRng, cloth: RGB) -> None:
    """Standing, walking or waving, in trousers or a skirt."""
    skin, hair, lower = dice.choice("skin", SKINS), dice.choice("hair", HAIRS), dice.choice("lower", PAINTS)
    step = dice.between("step", 0.02, 0.13)
    far, near = (lower, scale_colour(lower, 0.78)) if pen.behind else (scale_colour(lower, 0.78), lower)
    skirt = dice.chance("skirt", 0.3)
    swing = dice.between("swing", -0.1, 0.1)
    pen.limb((0.05, 0.74), 0.038, (0.11 + swing, 0.5), 0.032, scale_colour(cloth, 0.9 if pen.behind else 0.75), depth=at(-0.14))
    for side, leg in ((-1, far), (1, near)):
        foot = side * step
        pen.limb((side * 0.035, 0.46), 0.062, (foot, 0.07), 0.042, skin if skirt else leg, depth=at(side * 0.06))
        pen.ellipse(foot + 0.025, 0.025, 0.065, 0.028, DARK, shade=0.0, depth=at(side * 0.06, 0.04))
    if skirt:
        pen.polygon(((-0.15, 0.27), (0.15, 0.27), (0.07, 0.52), (-0.07, 0.52)), lower, round=0.015, depth=thick(0.1))
    pen.limb((0.0, 0.5), 0.085, (0.0, 0.72), 0.105, cloth, shade=0.22)
    pen.limb((0.0, 0.73), 0.065, (0.0, 0.73), 0.065, cloth, depth=turned(-0.09, end=0.09))
    pen.limb((0.005, 0.8), 0.035, (0.01, 0.86), 0.035, scale_colour(skin, 0.85))
    pen.ellipse(0.012, 0.905, 0.078, 0.09, skin, shade=0.16)
    pen.ellipse(0.055, 0.91, 0.012, 0.016, DARK, shade=0.0, depth=PAINT)
    if dice.chance("hat", 0.3):
        hat = dice.choice("hat colour", PAINTS)
        pen.limb((-0.04, 0.96), 0.045, (0.05, 0.96), 0.045, hat, depth=SIDE)
        pen.ellipse(0.005, 0.963, 0.088, 0.046, hat, depth=turned(half=0.085))
        pen.limb((-0.04, 0.945), 0.018, (0.12, 0.94), 0.016, scale_colour(hat, 0.8))
        pen.ellipse(0.035, 0.945, 0.085, 0.018, scale_colour(hat, 0.8), depth=turned(half=0.09))
    else:
        pen.limb((-0.045, 0.94), 0.05, (0.045, 0.965), 0.036, hair, shade=0.1, depth=SIDE)
        pen.ellipse(-0.014, 0.947, 0.077, 0.058, hair, depth=turned(half=0.077))
        pen.ellipse(-0.055, 0.9 if dice.chance("short", 0.5) else 0.84, 0.036, 0.07, hair, shade=0.0, depth=thick(0.065))
    sleeve, beside = scale_colour(cloth, 0.75 if pen.behind else 0.9), at(0.14)
    if dice.chance("waving", 0.3):
        pen.limb((-0.07, 0.75), 0.042, (-0.2, 0.86), 0.034, sleeve, depth=beside)
        pen.limb((-0.2, 0.86), 0.032, (-0.17, 1.0), 0.032, skin, depth=beside)
    else:
        pen.limb((-0.07, 0.75), 0.042, (-0.11 - swing, 0.58), 0.036, sleeve, depth=beside)
        pen.limb((-0.11 - swing, 0.58), 0.034, (-0.1 - 1.6 * swing, 0.46), 0.032, skin, depth=beside)


def skier(pen: FigurePen, dice: NamedRng, cloth: RGB) -> None:
    """Crouching on two skis with sticks behind, downhill by the pen's turn."""
    lower, skis = dice.choice("lower", PAINTS), dice.choice("skis", PAINTS)
    crouch = dice.between("crouch", -0.04, 0.07)
    lean = dice.between("lean", -0.03, 0.05)
    hip, shoulder = (-0.11, 0.37 - crouch), (0.09 + lean, 0.63 - crouch)
    hand = (0.3 + lean, 0.46 - crouch)
    pen.limb((hand[0] - 0.02, hand[1] + 0.02), 0.018, (-0.34, 0.2), 0.016, scale_colour(DARK, 1.3), depth=pair(0.13))
    pen.ellipse(-0.32, 0.21, 0.045, 0.035, STEEL, shade=0.0, depth=pair(0.13))
    for shift, tone in ((0.05, 0.72), (0.0, 1.0)):
        beside = at(-0.08 if shift else 0.08)
        pen.limb((-0.44, 0.03 + shift), 0.026, (0.42, 0.03 + shift), 0.026, scale_colour(skis, tone), depth=beside)
        pen.limb((0.42, 0.03 + shift), 0.026, (0.5, 0.085 + shift), 0.02, scale_colour(skis, tone), depth=beside)
        leg = scale_colour(lower, tone)
        pen.limb(hip, 0.085, (0.09 + shift, 0.26 - crouch * 0.5), 0.06, leg, depth=beside)
        pen.limb((0.09 + shift, 0.26 - crouch * 0.5), 0.06, (0.02 + shift, 0.09 + shift), 0.05, leg, depth=beside)
        pen.limb((0.01 + shift, 0.075 + shift), 0.042, (0.075 + shift, 0.07 + shift), 0.036, DARK, depth=beside)
    pen.limb(hip, 0.09, shoulder, 0.1, cloth, shade=0.22)
    head = (shoulder[0] + 0.1, shoulder[1] + 0.13)
    skin = dice.choice("skin", SKINS)
    pen.ellipse(*head, 0.085, 0.088, skin)
    pen.ellipse(head[0] - 0.015, head[1] + 0.03, 0.09, 0.075, dice.choice("helmet", PAINTS), shade=0.2)
    pen.limb((head[0] + 0.02, head[1] + 0.005), 0.026, (head[0] + 0.075, head[1]), 0.028, (0.95, 0.6, 0.2), shade=0.3, depth=PAINT)
    pen.limb((shoulder[0] - 0.01, shoulder[1]), 0.055, (0.19 + lean, 0.43 - crouch), 0.045, scale_colour(cloth, 0.86), depth=pair(0.12))
    pen.limb((0.19 + lean, 0.43 - crouch), 0.045, hand, 0.04, scale_colour(cloth, 0.86), depth=pair(0.12))
