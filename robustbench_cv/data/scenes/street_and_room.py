"""Contexts that people built: a street and a room."""

from __future__ import annotations

import numpy as np

from robustbench_cv.data.scenes.backdrop import Stage, ground, ground_noise, label, leafy, sky
from robustbench_cv.data.scenes.noise_fields import RGB, Array, hash_coordinates, mix, scale_colour, tile

FACADES: tuple[RGB, ...] = (
    (0.80, 0.55, 0.42),
    (0.87, 0.76, 0.60),
    (0.66, 0.68, 0.72),
    (0.72, 0.45, 0.38),
    (0.56, 0.62, 0.70),
    (0.90, 0.84, 0.76),
    (0.62, 0.56, 0.50),
    (0.50, 0.58, 0.56),
)
WALLS: tuple[RGB, ...] = (
    (0.86, 0.80, 0.70),
    (0.62, 0.72, 0.74),
    (0.83, 0.69, 0.62),
    (0.70, 0.76, 0.66),
    (0.76, 0.74, 0.82),
    (0.90, 0.86, 0.80),
    (0.50, 0.60, 0.66),
)
WOODS: tuple[RGB, ...] = ((0.62, 0.43, 0.28), (0.74, 0.57, 0.40), (0.46, 0.33, 0.25), (0.68, 0.62, 0.54))


def _houses(stage: Stage, name: str, wide: float, low: float, high: float, haze: float) -> None:
    """A row of facades with windows, `wide` sides of the image each on average, their feet on the horizon."""
    surface, size, dice = stage.surface, stage.size, stage.dice
    seed = dice.bits(name) & 0xFFFFF
    x = surface.x[0] * np.float32(1 / size)
    position = x * np.float32(1 / wide) + np.float32(dice.unit(f"{name} shift") + 4.0)
    number = np.floor(position)
    within = position - number
    house = number.astype(np.int64)
    top = stage.horizon - (low + (high - low) * hash_coordinates(house, 1, seed)) * np.float32(size)
    where = stage.rows(float(top.min()) - 1, stage.horizon + 1)
    y = surface.y[where[0]]
    table = np.array(FACADES, np.float32)
    paint = np.moveaxis(table[(hash_coordinates(house, 2, seed) * len(FACADES)).astype(np.int64)], -1, 0)[:, None, :]
    side_lit = np.where(within < 0.1, 1.0 + 0.25 * -stage.scene.light.side, 1.0 - 0.05 * stage.scene.light.side).astype(np.float32)
    rise = (np.float32(stage.horizon) - y) * np.float32(1 / size)
    storey = rise * np.float32(1 / 0.062)
    pane = storey - np.floor(storey)
    columns = within * np.floor(2.0 + 2.0 * hash_coordinates(house, 3, seed))
    bay = columns - np.floor(columns)
    glass = ((bay > 0.28) & (bay < 0.74))[None, :] & ((pane > 0.3) & (pane < 0.82)) & ((y - top) > 0.02 * size) & (rise > 0.03)
    glow = hash_coordinates((number * 8 + np.floor(columns)).astype(np.int64)[None, :], np.floor(storey).astype(np.int64), seed)
    lamp = 0.45 if stage.scene.light.hour in ("dusk", "golden") else 0.06
    dark = np.array(mix((0.30, 0.38, 0.47), stage.hour.low, 0.2), np.float32)[:, None, None]
    warm = np.array((1.0, 0.84, 0.52), np.float32)[:, None, None]
    paint = paint * side_lit
    paint = paint * (1.0 + tile(size, 10, 3)[where[0]][: y.shape[0]] * np.float32(0.07))
    paint = paint + glass * (np.where(glow < lamp, warm, dark + (glow - 0.5) * np.float32(0.12)) - paint)
    eave = np.clip(1.0 - np.abs(y - top - np.float32(0.012 * size)) * np.float32(60 / size), 0.0, 1.0)
    paint = paint * (1.0 - eave * np.float32(0.28))
    paint = paint + np.float32(haze) * (np.array(stage.hour.haze, np.float32)[:, None, None] - paint)
    surface.blend(where, np.clip(y - top + np.float32(0.5), 0.0, 1.0), paint, label("building"))


def street(stage: Stage) -> None:
    """Two rows of houses, a sidewalk, a road with lane marks, perhaps trees."""
    surface, size, dice = stage.surface, stage.size, stage.dice
    sky(stage, stage.horizon)
    _houses(stage, "far", 0.13, 0.2, 0.42, 0.5)
    _houses(stage, "near", 0.26, 0.12, 0.36, 0.08)
    horizon = stage.horizon
    curb = horizon + (size - horizon) * dice.between("curb", 0.2, 0.34)
    slab = mix((0.80, 0.77, 0.73), dice.choice("slab", FACADES), 0.18)
    ground(
        stage,
        horizon,
        scale_colour(slab, 0.9),
        near=slab,
        name="sidewalk",
        grain=ground_noise(stage, horizon - 0.1 * size, 0.8, 48, 2),
        strength=0.08,
    )
    _paving(stage, horizon, curb)
    start = int(curb)
    rows = surface.y[start:]
    depth = np.float32(1.0) / ((rows - np.float32(horizon - 0.14 * size)) * np.float32(1 / size))
    across = (surface.x * np.float32(1 / size) - np.float32(0.5)) * depth
    asphalt = mix((0.29, 0.30, 0.34), (0.41, 0.39, 0.39), dice.unit("asphalt"))
    ground(
        stage,
        curb,
        scale_colour(asphalt, 1.12),
        near=scale_colour(asphalt, 0.9),
        name="road",
        grain=ground_noise(stage, horizon - 0.1 * size, 1.2, 96, 2),
        strength=0.10,
    )
    kerb = np.clip(0.5 + np.float32(0.012 * size) - np.abs(rows - np.float32(curb + 0.012 * size)), 0.0, 1.0)
    rgb = surface.rgb[:, start:]
    rgb += (kerb * np.float32(0.75)) * (np.array(scale_colour(slab, 1.16), np.float32)[:, None, None] - rgb)
    middle = curb + (size - curb) * dice.between("lane", 0.42, 0.62)
    phase = across * np.float32(1.5) + np.float32(dice.unit("dash") + 8.0)
    dash = np.clip((np.float32(0.28) - np.abs(phase - np.floor(phase) - np.float32(0.5))) * np.float32(size / 5), 0.0, 1.0)
    line = np.clip(np.float32(0.013 * size + 0.5) - np.abs(rows - np.float32(middle)), 0.0, 1.0)
    rgb += (line * dash * np.float32(0.8)) * (np.array((0.93, 0.91, 0.84), np.float32)[:, None, None] - rgb)
    for i in range(dice.bits("trees") % 4):
        green = mix((0.33, 0.52, 0.27), (0.52, 0.55, 0.24), dice.unit(f"green {i}"))
        leafy(
            stage, f"tree {i}", dice.between(f"tree {i}", 0.03, 0.97), _scale_y(stage, 0.06), dice.between(f"tall {i}", 0.26, 0.36), green
        )


def _paving(stage: Stage, top: float, bottom: float) -> None:
    """Joints between the slabs of a sidewalk, in perspective."""
    surface, size = stage.surface, stage.size
    where = slice(max(0, int(top) + 1), min(size, int(bottom) + 1))
    rows = surface.y[where]
    depth = np.float32(1.0) / ((rows - np.float32(top - 0.14 * size)) * np.float32(1 / size))
    across = (surface.x * np.float32(1 / size) - np.float32(0.5)) * depth * np.float32(1.7) + np.float32(16.0)
    along = depth * np.float32(1.1)
    joint = np.maximum(
        np.float32(0.04) - np.abs(across - np.floor(across) - np.float32(0.5)),
        np.float32(0.03) - np.abs(along - np.floor(along) - np.float32(0.5)),
    )
    surface.rgb[:, where] *= np.float32(1.0) - np.clip(joint * np.float32(18.0), 0.0, 1.0) * np.float32(0.2)


def _scale_y(stage: Stage, share: float) -> float:
    """A height on the ground: `share` of the way from the horizon to the bottom edge, in sides of the image."""
    return stage.scene.horizon + (1.0 - stage.scene.horizon) * share


def _pattern(stage: Stage, wall: RGB, rows: Array) -> Array:
    """Wallpaper: plain, striped or panelled."""
    size, x = stage.size, stage.surface.x
    kind = stage.dice.choice("paper", ("plain", "stripes", "panels"))
    grain = tile(size, 24, 2)[: rows.shape[0]] * np.float32(0.025) + np.float32(1.0)
    if kind == "stripes":
        band = x * np.float32(stage.dice.between("stripe", 7, 12) / size)
        wave = np.abs(band - np.floor(band) - np.float32(0.5)) * np.float32(2.0)
        grain = grain * (
            np.float32(1.03) - np.clip((wave - np.float32(0.5)) * np.float32(size / 16) + np.float32(0.5), 0, 1) * np.float32(0.10)
        )
    elif kind == "panels":
        low = np.clip((rows - np.float32(stage.size * (stage.scene.horizon - 0.1))) * np.float32(1.0) + np.float32(0.5), 0, 1)
        grain = grain * (np.float32(1.0) + low * np.float32(0.09))
    return np.array(wall, np.float32)[:, None, None] * grain


def room(stage: Stage) -> None:
    """A wall with a window and pictures, skirting, a plank floor, perhaps a rug."""
    surface, size, dice = stage.surface, stage.size, stage.dice
    side = stage.scene.light.side
    edge = _scale_y(stage, dice.between("edge", 0.08, 0.2)) * size
    wall = dice.choice("wall", WALLS)
    rows = surface.y[: int(edge) + 1]
    lit = np.float32(1.02) + (surface.x * np.float32(1 / size) - np.float32(0.5)) * np.float32(0.28 * side) - rows * np.float32(0.12 / size)
    surface.rgb[:, : rows.shape[0]] = _pattern(stage, wall, rows) * lit
    surface.labels[:] = label("wall")
    _window(stage, 0.5 + 0.3 * (1 if side > 0 else -1) * dice.between("window x", 0.3, 1.0))
    frame_x = 0.5 - 0.3 * (1 if side > 0 else -1) * dice.between("frame x", 0.2, 1.0)
    for i in range(dice.bits("frames") % 3):
        _picture(stage, f"frame {i}", frame_x + 0.19 * i * (-1 if side > 0 else 1), dice.between(f"frame y {i}", 0.16, 0.24))
    wood = dice.choice("wood", WOODS)
    plank = ground_noise(stage, edge - 0.22 * size, 0.9, 20, 3, stretch=6.0)
    ground(stage, edge, scale_colour(wood, 0.92), near=scale_colour(wood, 1.06), name="floor", grain=plank, strength=0.16)
    _planks(stage, edge, wood)
    if dice.chance("rug", 0.55):
        rug = dice.choice("rug colour", FACADES)
        pen = stage.pen(dice.between("rug x", 0.3, 0.7), _scale_y(stage, 0.68))
        wide, deep = dice.between("rug wide", 0.28, 0.42), dice.between("rug deep", 0.07, 0.11)
        pen.ellipse(0, 0, wide, deep, mix(rug, (1, 1, 1), 0.45), shade=0.05)
        pen.ellipse(0, 0, wide - 0.025, deep - 0.012, rug, shade=0.08)
        pen.ellipse(0, 0, wide - 0.1, deep - 0.035, mix(rug, (1, 1, 1), 0.2), shade=0.05)
    skirting = np.clip(np.float32(0.016 * size + 0.5) - np.abs(surface.y - np.float32(edge - 0.016 * size)), 0.0, 1.0)
    surface.rgb += skirting * np.float32(0.9) * (np.array(mix(wall, (0.97, 0.96, 0.93), 0.7), np.float32)[:, None, None] - surface.rgb)


def _planks(stage: Stage, edge: float, wood: RGB) -> None:
    """Dark seams between boards that run towards the viewer, and the window's light on the floor."""
    surface, size = stage.surface, stage.size
    start = int(edge) + 1
    rows = surface.y[start:]
    depth = np.float32(1.0) / ((rows - np.float32(edge - 0.3 * size)) * np.float32(1 / size))
    across = (surface.x * np.float32(1 / size) - np.float32(0.5)) * depth * np.float32(3.6) + np.float32(16.0)
    seam = np.abs(across - np.floor(across) - np.float32(0.5))
    dark = np.clip((np.float32(0.045) - seam) * np.float32(20.0), 0.0, 1.0) * np.float32(0.3)
    board = np.float32(1.0) + (
        hash_coordinates(np.floor(across).astype(np.int64), 5, stage.dice.bits("boards") & 0xFFFF) - 0.5
    ) * np.float32(0.14)
    surface.rgb[:, start:] *= board * (1.0 - dark)


def _window(stage: Stage, x: float) -> None:
    """Daylight through four panes, with a sill and curtains."""
    dice, hour = stage.dice, stage.hour
    wide, tall, y = dice.between("window wide", 0.11, 0.15), dice.between("window tall", 0.13, 0.17), 0.22
    pen = stage.pen(x, y)
    white, name = (0.97, 0.96, 0.93), label("wall")

    def rectangle(x0: float, y0: float, x1: float, y1: float, colour: RGB, shade: float = 0.0) -> None:
        pen.polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour, shade=shade, label=name)

    rectangle(-wide - 0.015, -tall - 0.015, wide + 0.015, tall + 0.015, white)
    rectangle(-wide, -tall, wide, tall, mix(hour.top, hour.low, 0.6), 0.25)
    garden = mix((0.45, 0.6, 0.4), hour.haze, 0.4)
    pen.polygon(((-wide, -tall), (wide, -tall), (wide, -tall * 0.55), (-wide, -tall * 0.2)), garden, label=name)
    rectangle(-wide - 0.015, -tall - 0.045, wide + 0.015, -tall, white)
    rectangle(-0.008, -tall, 0.008, tall, white)
    rectangle(-wide, -0.008, wide, 0.008, white)
    cloth = dice.choice("curtain", FACADES)
    for s in (-1, 1):
        x0, x1 = sorted((s * (wide - 0.02), s * (wide + 0.055)))
        rectangle(x0, -tall - 0.06, x1, tall + 0.035, mix(cloth, (1, 1, 1), 0.25), 0.18)


def _picture(stage: Stage, name: str, x: float, y: float) -> None:
    """A framed landscape."""
    dice = stage.dice
    pen = stage.pen(x, y)
    w, h = dice.between(f"{name} w", 0.05, 0.085), dice.between(f"{name} h", 0.05, 0.08)
    wood, wall = dice.choice(f"{name} wood", WOODS), label("wall")
    one, two = dice.choice(f"{name} one", FACADES), dice.choice(f"{name} two", WALLS)
    pen.polygon(((-w, -h), (w, -h), (w, h), (-w, h)), scale_colour(wood, 0.75), round=0.012, label=wall)
    pen.polygon(((-w, -h), (w, -h), (w, h), (-w, h)), mix(two, (1, 1, 1), 0.3), label=wall, shade=0.1)
    pen.polygon(((-w, -h), (w, -h), (w, h * dice.between(f"{name} line", -0.6, 0.4)), (-w, 0.0)), one, label=wall)
