"""Contexts out of doors: sea, meadow, snow, sky, desert, forest."""

from __future__ import annotations

import numpy as np

from robustbench_cv.data.scenes.backdrop import (
    Stage,
    cloud,
    glow,
    ground,
    ground_noise,
    label,
    leafy,
    mountains,
    pine,
    ridge,
    sky,
    sparkle,
)
from robustbench_cv.data.scenes.noise_fields import RGB, hash_coordinates, line_noise, mix, scale_colour, smooth, tile


def sea(stage: Stage) -> None:
    """Water in waves under the sky, islands on the horizon, often a beach in front."""
    surface, size, dice, hour = stage.surface, stage.size, stage.dice, stage.hour
    horizon = stage.horizon
    sky(stage, horizon)
    if dice.chance("islands", 0.6):
        mountains(stage, stage.scene.horizon + 0.01, 0.13, (0.42, 0.50, 0.52))
    deep = mix((0.09, 0.36, 0.52), (0.13, 0.47, 0.50), dice.unit("water"))
    waves = ground_noise(stage, horizon - 0.02 * size, 0.42, 40, 3, stretch=3.5)
    ground(stage, horizon, mix(deep, hour.low, 0.45), near=mix(deep, (0.1, 0.5, 0.55), 0.3), name="water", grain=waves, strength=0.26)
    start = max(0, int(horizon) + 1)
    rows = surface.y[start:]
    rgb = surface.rgb[:, start:]
    crest = np.clip((waves[-rows.shape[0] :] - np.float32(0.42)) * np.float32(6.0), 0.0, 1.0)
    rgb += (crest * np.float32(0.5)) * (np.array(mix((1, 1, 1), hour.low, 0.25), np.float32)[:, None, None] - rgb)
    sun = (surface.x * np.float32(1 / size) - np.float32(dice.between("sun x", 0.1, 0.9))) * np.float32(6.0)
    path = (
        np.float32(1.0) / (1.0 + sun * sun) * np.clip(waves[-rows.shape[0] :] + np.float32(0.35), 0.0, 1.0) * np.float32(0.75 * hour.glow)
    )
    rgb += path * (np.array(mix((1.0, 0.96, 0.85), hour.low, 0.4), np.float32)[:, None, None] - rgb)
    if dice.chance("beach", 0.6):
        x = surface.x[0] * np.float32(1 / size)
        slope = dice.between("beach slope", -0.1, 0.1)
        level = dice.between("beach", 0.8, 0.93) + (x - np.float32(0.5)) * np.float32(slope)
        shore = (level + line_noise(dice.bits("shore"), x, 3.0, 2) * np.float32(0.018)) * np.float32(size)
        light = mix((0.91, 0.82, 0.62), (0.85, 0.72, 0.53), dice.unit("sand"))
        stage.below(shore - np.float32(0.022 * size), mix((0.95, 0.98, 0.98), deep, 0.12), "water")
        stage.below(shore, scale_colour(light, 0.8), "sand")
        grain = tile(size, 48, 2) * np.float32(0.06) + tile(size, 6, 2) * np.float32(0.05) + np.float32(1.0)
        stage.below(shore + np.float32(0.03 * size), np.array(light, np.float32)[:, None, None] * grain, "sand")


def _grass(stage: Stage, top: float, green: RGB, dry: RGB) -> None:
    """Grass in perspective with patches of a second tone."""
    blades = ground_noise(stage, top - 0.05 * stage.size, 0.9, 64, 3)
    ground(stage, top, mix(green, dry, 0.35), near=scale_colour(green, 0.92), name="grass", grain=blades, strength=0.2)


def meadow(stage: Stage) -> None:
    """Rolling hills, a hedge of trees, flowers; mountains on clear days."""
    surface, size, dice = stage.surface, stage.size, stage.dice
    sky(stage, stage.horizon)
    green = mix((0.42, 0.60, 0.26), (0.58, 0.64, 0.28), dice.unit("green"))
    if dice.chance("mountains", 0.45):
        mountains(stage, stage.scene.horizon, 0.2, (0.40, 0.48, 0.56), snow=True)
    hill = ridge(stage, "hill", stage.scene.horizon + 0.02, 0.12, 1.6, 2)
    shine = tile(size, 12, 3) * np.float32(0.07) + np.float32(1.0)
    stage.below(hill, np.array(mix(green, stage.hour.haze, 0.42), np.float32)[:, None, None] * shine, "grass")
    for i in range(2 + dice.bits("trees") % 5):
        x = dice.between(f"tree {i}", -0.02, 1.02)
        tone = mix((0.24, 0.44, 0.24), (0.42, 0.48, 0.22), dice.unit(f"tone {i}"))
        leafy(stage, f"tree {i}", x, stage.scene.horizon + 0.035, dice.between(f"tall {i}", 0.15, 0.3), mix(tone, stage.hour.haze, 0.14))
    _grass(stage, stage.horizon + 0.02 * size, green, (0.74, 0.70, 0.36))
    x = surface.x[0] * np.float32(1 / size)
    front = (np.float32(0.86) + line_noise(dice.bits("front"), x, 1.5, 2) * np.float32(0.05)) * np.float32(size)
    blades = tile(size, 40, 2) * np.float32(0.16) + np.float32(1.0)
    stage.below(front, np.array(scale_colour(green, 0.84), np.float32)[:, None, None] * blades, "grass")
    flower = dice.choice("flower", ((0.98, 0.93, 0.95), (0.98, 0.86, 0.36), (0.90, 0.45, 0.42), (0.74, 0.62, 0.90)))
    sparkle(stage, stage.horizon + 0.14 * size, dice.between("flowers", 0.0, 0.03), flower, 0.85)


def snow(stage: Stage) -> None:
    """White peaks, firs and a slope with blue shadows."""
    surface, size, dice, hour = stage.surface, stage.size, stage.dice, stage.hour
    sky(stage, stage.horizon)
    mountains(stage, stage.scene.horizon + 0.02, 0.27, (0.50, 0.55, 0.66), snow=True)
    white = mix((0.93, 0.96, 0.99), hour.low, 0.16)
    blue = mix((0.70, 0.79, 0.92), hour.low, 0.12)
    back = ridge(stage, "back", stage.scene.horizon + 0.03, 0.09, 1.3, 2)
    stage.below(back, mix(white, hour.haze, 0.3), "snow")
    for i in range(3 + dice.bits("firs") % 6):
        x = dice.between(f"fir {i}", -0.02, 1.02)
        pine(stage, f"fir {i}", x, stage.scene.horizon + 0.05, dice.between(f"tall {i}", 0.14, 0.32), (0.20, 0.36, 0.33), snowy=True)
    top = stage.horizon + 0.03 * size
    drift = ground_noise(stage, top - 0.12 * size, 0.5, 10, 4, stretch=2.0)
    ground(stage, top, mix(white, blue, 0.35), near=white, name="snow", grain=drift * np.float32(0.5), strength=0.12)
    start = max(0, int(top))
    rgb = surface.rgb[:, start:]
    shade = np.clip(drift[-rgb.shape[1] :] * np.float32(1.3), 0.0, 1.0) * np.float32(0.55)
    rgb += shade * (np.array(blue, np.float32)[:, None, None] - rgb)
    for i in range(dice.bits("tracks") % 3):
        x, y = dice.between(f"track {i}", -0.1, 0.7), dice.between(f"track y {i}", 0.7, 1.0)
        run, fall = dice.between(f"run {i}", 0.35, 0.8), dice.between(f"fall {i}", 0.08, 0.22)
        for gap in (0.0, 0.018):
            stage.pen(x, y + gap).limb((0, 0), 0.004, (-run, fall), 0.001, blue, shade=0.0)
    sparkle(stage, top + 0.05 * size, 0.012, (1.0, 1.0, 1.0), 0.8)


def heaven(stage: Stage) -> None:
    """High up: sky all around, big clouds, peaks that break through the sea of clouds."""
    surface, size, dice, hour = stage.surface, stage.size, stage.dice, stage.hour
    sky(stage, 0.95 * size, clouds=0)
    veil = tile(size, 3, 4)
    shift = dice.bits("veil") % size
    wisps = np.clip(np.roll(veil, shift, axis=1) * np.float32(1.6) - np.float32(0.15), 0.0, 1.0) * np.float32(0.4)
    surface.rgb += wisps * (np.array(mix((1, 1, 1), hour.low, 0.4), np.float32)[:, None, None] - surface.rgb)
    for i in range(2 + dice.bits("clouds") % 3):
        cloud(stage, f"far {i}", dice.between(f"x {i}", 0.0, 1.0), dice.between(f"y {i}", 0.15, 0.72), dice.between(f"s {i}", 0.1, 0.22))
    if dice.chance("peaks", 0.6):
        mountains(stage, 1.02, dice.between("peak", 0.12, 0.24), (0.44, 0.50, 0.60), snow=True)
    for i in range(4):
        cloud(
            stage,
            f"near {i}",
            0.32 * i + dice.between(f"nx {i}", -0.12, 0.12),
            dice.between(f"ny {i}", 0.93, 1.03),
            dice.between(f"ns {i}", 0.22, 0.36),
        )
    # Clouds belong to the sky; what hides a peak is no mountain.
    lowest = stage.rows(0.9 * size)
    bright = surface.rgb[:, lowest[0]].min(axis=0) > np.float32(0.72)
    surface.labels[lowest][bright] = label("sky")


def desert(stage: Stage) -> None:
    """Dunes with a lit and a shaded side, mesas far away."""
    surface, size, dice, hour = stage.surface, stage.size, stage.dice, stage.hour
    sky(stage, stage.horizon, clouds=dice.bits("clouds") % 2)
    sand = mix((0.90, 0.70, 0.44), (0.84, 0.58, 0.38), dice.unit("sand"))
    if dice.chance("mesas", 0.65):
        _mesas(stage, mix((0.72, 0.44, 0.34), hour.haze, 0.35))
    side = np.float32(stage.scene.light.side)
    for i, (base, height, cells) in enumerate(((0.03, 0.1, 1.6), (0.2, 0.12, 1.2), (0.42, 0.14, 0.9))):
        line = ridge(stage, f"dune {i}", stage.scene.horizon + base, height, cells, 2)
        where = stage.rows(float(line.min()) - 1)
        slope = np.zeros_like(line)
        slope[1:-1] = (line[2:] - line[:-2]) * np.float32(0.5)
        depth = (surface.y[where[0]] - line) * np.float32(1 / size)
        lit = np.clip(np.float32(1.0) + slope * side * np.float32(-0.8), 0.66, 1.16)
        ripple = tile(size, 28 - 6 * i, 2)[where[0]] * np.float32(0.03 + 0.02 * i)
        tone = np.array(mix(scale_colour(sand, (1.0, 0.9, 1.02)[i]), hour.haze, 0.36 - 0.16 * i), np.float32)[:, None, None]
        paint = tone * ((lit - np.float32(1.0)) * np.clip(1.0 - depth * np.float32(3.0), 0.15, 1.0) + np.float32(1.0) + ripple)
        surface.blend(where, np.clip(surface.y[where[0]] - line + np.float32(0.5), 0.0, 1.0), paint, label("sand"))


def _mesas(stage: Stage, rock: RGB) -> None:
    """Flat-topped rocks: steps of hashed heights with steep flanks."""
    size, dice = stage.size, stage.dice
    x = stage.surface.x[0] * np.float32(1 / size)
    position = x * np.float32(5.0) + np.float32(dice.unit("mesa shift") + 3)
    cell = np.floor(position)
    seed = dice.bits("mesas") & 0xFFFF
    low, high = hash_coordinates(cell.astype(np.int64), 0, seed), hash_coordinates(cell.astype(np.int64) + 1, 0, seed)
    step = smooth((position - cell - np.float32(0.38)) * np.float32(4.0))
    height = np.maximum(low + (high - low) * step - np.float32(0.35), 0.0) * np.float32(0.26)
    line = (np.float32(stage.scene.horizon + 0.03) - height) * np.float32(size)
    strata = tile(size, 16, 2)[:, :1] * np.float32(0.1) + tile(size, 10, 3) * np.float32(0.06) + np.float32(1.0)
    stage.below(line, np.array(rock, np.float32)[:, None, None] * strata, "mountain", stage.horizon + 0.06 * size)


def forest(stage: Stage) -> None:
    """Trunks in mist, firs and leafy crowns, a floor of grass and moss under shafts of light."""
    surface, size, dice, hour = stage.surface, stage.size, stage.dice, stage.hour
    top = stage.horizon + 0.03 * size
    green = mix((0.22, 0.38, 0.24), (0.36, 0.42, 0.20), dice.unit("green"))
    misty = mix(green, hour.low, 0.62)
    surface.rgb[:] = stage.ramp((mix(green, hour.top, 0.25), misty, mix(misty, hour.low, 0.5)), surface.y * np.float32(1 / top))
    surface.rgb[:] *= tile(size, 9, 4) * np.float32(0.13) + np.float32(1.0)
    surface.labels[:] = label("tree")
    glow(stage, dice.between("sun x", 0.15, 0.85), dice.between("sun y", 0.04, 0.2))
    _trunks(stage, "far", 26.0, mix((0.36, 0.30, 0.26), misty, 0.62), top)
    for i in range(4 + dice.bits("firs") % 4):
        x, tall = dice.between(f"fir {i}", -0.02, 1.02), dice.between(f"tall {i}", 0.3, 0.55)
        tone = mix(scale_colour(green, 0.8), misty, dice.between(f"mist {i}", 0.12, 0.5))
        pine(stage, f"fir {i}", x, stage.scene.horizon + 0.05, tall, tone)
    _trunks(stage, "near", 9.0, mix((0.32, 0.24, 0.19), misty, 0.16), top + 0.02 * size)
    _grass(stage, top, mix(green, (0.42, 0.50, 0.24), 0.5), (0.52, 0.42, 0.26))
    _dapples(stage, top)
    canopy = ridge(stage, "canopy", 0.2, 0.17, 5.0, 3)
    where = slice(0, int(canopy.max()) + 1)
    leaves = tile(size, 20, 3)[where]
    cover = np.clip(canopy - surface.y[where] + leaves * np.float32(0.05 * size) + np.float32(0.5), 0.0, 1.0)
    crown = np.array(mix(scale_colour(green, 0.72), misty, 0.1), np.float32)[:, None, None] * (leaves * np.float32(0.3) + np.float32(1.0))
    surface.blend((where, slice(None)), cover, crown)
    _shafts(stage, top)


def _dapples(stage: Stage, top: float) -> None:
    """Patches of sun and of fallen leaves on the forest floor."""
    spots = ground_noise(stage, top - 0.1 * stage.size, 0.6, 14, 3, stretch=1.6)[-(stage.size - int(top) - 2) :]
    rgb = stage.surface.rgb[:, int(top) + 2 :]
    sun = np.array(mix((0.86, 0.84, 0.42), stage.hour.low, 0.25), np.float32)[:, None, None]
    leaves = np.array((0.40, 0.27, 0.16), np.float32)[:, None, None]
    rgb += np.clip(spots * np.float32(1.8) - np.float32(0.1), 0.0, 1.0) * np.float32(0.14 + 0.26 * stage.hour.glow) * (sun - rgb)
    rgb += np.clip(spots * np.float32(-2.2) - np.float32(0.25), 0.0, 1.0) * np.float32(0.45) * (leaves - rgb)


def _trunks(stage: Stage, name: str, count: float, bark: RGB, foot: float) -> None:
    """Upright trunks, `count` places a side of which some are empty, lit from one side."""
    surface, size = stage.surface, stage.size
    seed = stage.dice.bits(name) & 0xFFFF
    position = surface.x * np.float32(count / size) + np.float32(2.0)
    cell = np.floor(position)
    number = cell.astype(np.int64)
    centre = np.float32(0.3) + np.float32(0.4) * hash_coordinates(number, 1, seed)
    half = np.float32(0.10) + np.float32(0.12) * hash_coordinates(number, 2, seed)
    present = hash_coordinates(number, 3, seed) < 0.72
    offset = position - cell - centre
    where = stage.rows(0, foot)
    cover = np.clip((half - np.abs(offset)) * np.float32(size / count) + np.float32(0.5), 0.0, 1.0) * present
    lit = np.float32(1.0) + offset / half * np.float32(0.2 * stage.scene.light.side)
    rough = tile(size, 30, 2)[where[0]] * np.float32(0.12) + np.float32(1.0)
    paint = np.array(bark, np.float32)[:, None, None] * (lit * rough)
    surface.blend(where, np.broadcast_to(cover, rough.shape), paint)


def _shafts(stage: Stage, top: float) -> None:
    """Slanting light between the trees."""
    surface, size = stage.surface, stage.size
    slant = surface.x - surface.y * np.float32(0.45 * stage.scene.light.side)
    beam = line_noise(stage.dice.bits("shafts"), slant * np.float32(1 / size) + np.float32(2.0), 7.0, 2)
    share = (
        np.clip(beam * np.float32(1.6), 0.0, 1.0)
        * (1.0 - stage.fade(top * 0.6, top + 0.3 * size))
        * np.float32(0.1 + 0.16 * stage.hour.glow)
    )
    warm = np.array(mix((1.0, 0.97, 0.85), stage.hour.low, 0.4), np.float32)[:, None, None]
    surface.rgb += share * (warm - surface.rgb)
