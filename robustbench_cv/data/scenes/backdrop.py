"""What several contexts share: skies, clouds, ridges, perspective ground, trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robustbench_cv.data.scenes.canvas import Canvas, Pen
from robustbench_cv.data.scenes.classes import PIXELS
from robustbench_cv.data.scenes.depth import Point
from robustbench_cv.data.scenes.named_rng import NamedRng
from robustbench_cv.data.scenes.noise_fields import RGB, Array, hash_coordinates, line_noise, mix, scale_colour, smooth, tile
from robustbench_cv.data.scenes.scene import Scene


@dataclass(frozen=True)
class Hour:
    """A time of day: sky colours from top to horizon, the colour of haze, and the light's tint of everything."""

    top: RGB
    low: RGB
    tint: RGB
    glow: float

    @property
    def haze(self) -> RGB:
        return mix(self.low, (0.8, 0.85, 0.9), 0.35)


HOURS: dict[str, Hour] = {
    "noon": Hour((0.33, 0.61, 0.89), (0.79, 0.91, 0.97), (1.0, 1.0, 0.99), 0.25),
    "morning": Hour((0.46, 0.70, 0.88), (0.99, 0.91, 0.81), (1.03, 0.99, 0.94), 0.6),
    "golden": Hour((0.44, 0.56, 0.79), (1.0, 0.80, 0.55), (1.07, 0.97, 0.84), 0.9),
    "dusk": Hour((0.27, 0.29, 0.53), (0.95, 0.62, 0.56), (0.88, 0.80, 0.91), 0.7),
    "overcast": Hour((0.63, 0.69, 0.75), (0.85, 0.88, 0.90), (0.93, 0.95, 0.97), 0.0),
}


def label(name: str) -> int:
    """A stuff class's number in the semantic map."""
    return PIXELS.index(name)


@dataclass(frozen=True)
class Stage:
    """What a context is painted with: the surface, the scene, its hour, draws of its own, and the horizon in pixels."""

    surface: Canvas
    scene: Scene
    dice: NamedRng

    @property
    def hour(self) -> Hour:
        return HOURS[self.scene.light.hour]

    @property
    def size(self) -> int:
        return self.scene.size

    @property
    def horizon(self) -> float:
        return self.scene.horizon * self.scene.size

    @property
    def towards_light(self) -> Point:
        return (0.75 * self.scene.light.side, 0.65)

    def pen(self, x: float, y: float, unit: float = 1.0, *, flip: bool = False) -> Pen:
        """A pen with its foot at (x, y), in sides of the image; its unit likewise."""
        return Pen(self.surface, x * self.size, y * self.size, unit * self.size, flip=flip, light=self.towards_light)

    def rows(self, top: float, bottom: float | None = None) -> tuple[slice, slice]:
        """All columns of the rows from `top` to `bottom`, in pixels."""
        last = self.size if bottom is None else min(self.size, int(bottom) + 1)
        return slice(max(0, min(int(top), last - 1)), last), slice(None)

    def below(self, profile: Array | float, colour: Array | RGB, name: str, bottom: float | None = None) -> None:
        """Fill all that lies under a profile ((W,) or one height, pixels from the top). colour: RGB, or (3, rows, W) for all rows."""
        edge = np.asarray(profile, np.float32)
        where = self.rows(float(edge.min()) - 1, bottom)
        cover = np.clip(self.surface.y[where[0]] - edge + np.float32(0.5), 0.0, 1.0)
        if isinstance(colour, tuple):
            paint = np.array(colour, np.float32)[:, None, None]
        else:
            paint = colour if colour.shape[1] == 1 else colour[:, where[0]]
        self.surface.blend(where, np.broadcast_to(cover, (cover.shape[0], self.size)), paint, label(name))

    def fade(self, top: float, bottom: float) -> Array:
        """(H, 1): 0 at `top` to 1 at `bottom` (pixels), smooth between."""
        return smooth((self.surface.y - np.float32(top)) * np.float32(1.0 / max(bottom - top, 1e-3)))

    def ramp(self, colours: Sequence[RGB], t: Array) -> Array:
        """Colours blended along t in [0, 1]: (3, *t.shape)."""
        position = np.clip(t, 0.0, 1.0) * np.float32(len(colours) - 1)
        table = np.array([*colours, colours[-1]], np.float32)
        first = position.astype(np.int64)
        share = position - first
        low, high = table[first], table[first + 1]
        return np.moveaxis(low + (high - low) * share[..., None], -1, 0)


def sky(stage: Stage, bottom: float, clouds: int | None = None) -> None:
    """A gradient with the sun's glow and flat-bottomed clouds, over the whole picture; at `bottom` (pixels) it has the low colour."""
    hour, surface = stage.hour, stage.surface
    ramp = stage.ramp((hour.top, mix(hour.top, hour.low, 0.45), hour.low), surface.y * np.float32(1.0 / max(bottom, 1.0)))
    surface.rgb[:] = ramp
    surface.labels[:] = label("sky")
    if hour.glow:
        glow(stage, stage.dice.between("sun x", 0.1, 0.9), stage.dice.between("sun y", 0.05, 0.9) * bottom / stage.size)
    count = stage.dice.bits("clouds") % 4 if clouds is None else clouds
    for i in range(count):
        x, y = stage.dice.between(f"cloud x {i}", -0.05, 1.05), stage.dice.between(f"cloud y {i}", 0.12, 0.75) * bottom / stage.size
        cloud(stage, f"cloud {i}", x, y, stage.dice.between(f"cloud size {i}", 0.1, 0.24))


def glow(stage: Stage, x: float, y: float) -> None:
    """The sun's disc in a wide soft halo."""
    hour, surface, size = stage.hour, stage.surface, stage.size
    dx, dy = surface.x * np.float32(1 / size) - np.float32(x), surface.y * np.float32(1 / size) - np.float32(y)
    near = np.float32(1.0) / (1.0 + 14.0 * (dx * dx + dy * dy))
    warm = np.array(mix(hour.low, (1.0, 0.95, 0.8), 0.6), np.float32)[:, None, None]
    surface.rgb += (near * near * np.float32(0.55 * hour.glow)) * (warm - surface.rgb)
    stage.pen(x, y).ellipse(0, 0, 0.05, 0.05, mix((1.0, 0.97, 0.86), hour.low, 0.15), shade=0.0, soft=2.0)


def cloud(stage: Stage, name: str, x: float, y: float, size: float) -> None:
    """A few puffs on a flat base."""
    dice, hour = stage.dice, stage.hour
    white = mix((1.0, 1.0, 1.0), hour.low, 0.35)
    pen = stage.pen(x, y, size)
    tone = mix(white, hour.top, 0.1)
    for i, spot in enumerate((-0.52, -0.2, 0.16, 0.5)):
        rise = (0.2, 0.34, 0.3, 0.18)[i] * dice.between(f"{name} puff {i}", 0.75, 1.25)
        pen.ellipse(spot, rise * 0.55, rise * 1.05, rise, white, shade=0.07, soft=1.5)
    pen.limb((-0.7, 0.03), 0.08, (0.66, 0.03), 0.07, tone, shade=0.0)


def ridge(stage: Stage, name: str, base: float, height: float, cells: float, octaves: int = 4) -> Array:
    """A skyline (W,) in pixels: around `base` less up to `height`, both in sides of the image."""
    x = stage.surface.x[0] * np.float32(1 / stage.size)
    bumps = line_noise(stage.dice.bits(name), x, cells, octaves) * np.float32(0.5) + np.float32(0.5)
    return np.asarray((np.float32(base) - bumps * np.float32(height)) * np.float32(stage.size), dtype=np.float32)


def mountains(stage: Stage, base: float, height: float, colour: RGB, *, snow: bool = False) -> None:
    """Two ranges, the far one paler; lit flanks follow the slope's direction; snow on the high parts."""
    surface, size, hour = stage.surface, stage.size, stage.hour
    for layer, (share, cells) in enumerate(((1.0, 2.5), (0.62, 3.5))):
        line = ridge(stage, f"mountain {layer}", base, height * share * 1.5, cells)
        tone = mix(colour, hour.haze, 0.55 - 0.3 * layer)
        slope = np.zeros_like(line)
        slope[1:-1] = (line[2:] - line[:-2]) * np.float32(0.5)
        where = stage.rows(float(line.min()) - 1, base * size + 1)
        shift = tile(size, 6, 3)[: where[0].stop - where[0].start]
        lit = np.float32(1.0) + np.clip(slope * np.float32(-0.16 * stage.scene.light.side) + shift * np.float32(0.22), -0.22, 0.22)
        depth = surface.y[where[0]] - line
        paint = np.array(tone, np.float32)[:, None, None] * lit
        if snow:
            high = smooth(1.0 - (depth - np.float32(0.04 * size) + shift * np.float32(0.07 * size)) * np.float32(14 / size))
            white = np.array(mix((0.96, 0.97, 1.0), hour.haze, 0.25), np.float32)[:, None, None] * (0.5 * lit + 0.5)
            paint = paint + high * (white - paint)
        mist = smooth(depth * np.float32(1 / (height * size))) * np.float32(0.35)
        paint = paint + mist * (np.array(hour.haze, np.float32)[:, None, None] - paint)
        surface.blend(where, np.clip(depth + np.float32(0.5), 0.0, 1.0), paint, label("mountain"))


def ground_noise(stage: Stage, top: float, scale: float, cells: int, octaves: int = 3, stretch: float = 1.0) -> Array:
    """Noise (rows below `top`, W) in [-1, 1] that lies in perspective on the ground, flattened towards `top` (pixels)."""
    size, surface = stage.size, stage.surface
    side = (size * 8) // 3
    rows = surface.y[max(0, int(top)) :]
    depth = np.float32(1.0) / (np.maximum(rows - np.float32(top), 0.0) * np.float32(1 / size) + np.float32(0.06))
    reach = np.float32(scale * size)
    across = (surface.x - np.float32(size / 2)) * np.float32(1 / size) * depth * (reach / np.float32(stretch))
    shift = stage.dice.bits("ground") % side
    i = (depth * reach).astype(np.int64) % side
    j = (across + np.float32(side * 64 + shift)).astype(np.int64) % side
    lying: Array = tile(side, cells, octaves).ravel()[i * side + j]
    return lying


def ground(stage: Stage, top: float, far: RGB, near: RGB, name: str, grain: Array, strength: float) -> None:
    """Everything under `top`: far to near colour, the grain faded out in the distance, haze on the horizon."""
    start = max(0, int(top))
    rows = stage.surface.y[start:]
    grain = grain[-rows.shape[0] :]
    t = (rows - np.float32(top)) * np.float32(1.0 / max(stage.size - top, 1.0))
    paint = stage.ramp((mix(far, stage.hour.haze, 0.4), far, mix(far, near, 0.6), near), t)
    paint = paint * (1.0 + grain * (np.clip(t * 2.5 + 0.15, 0.0, 1.0) * np.float32(strength)))
    where = (slice(start, stage.size), slice(None))
    cover = np.broadcast_to(np.clip(rows - np.float32(top) + np.float32(0.5), 0.0, 1.0), grain.shape)
    stage.surface.blend(where, cover, paint, label(name))


def leafy(stage: Stage, name: str, x: float, y: float, height: float, green: RGB) -> None:
    """A round tree: trunk and three lit balls of leaves."""
    pen, dice = stage.pen(x, y, height), stage.dice
    pen.limb((0, 0.0), 0.05, (0, 0.5), 0.035, (0.36, 0.26, 0.2), label=label("tree"))
    for i, (u, v, r) in enumerate(((-0.16, 0.55, 0.2), (0.17, 0.57, 0.19), (0.0, 0.74, 0.25))):
        r *= dice.between(f"{name} ball {i}", 0.85, 1.15)
        pen.ellipse(u, v, r, r * 0.95, scale_colour(green, 0.85 + 0.1 * i), shade=0.26, label=label("tree"))


def pine(stage: Stage, name: str, x: float, y: float, height: float, green: RGB, *, snowy: bool = False) -> None:
    """A conifer: three triangles on a trunk."""
    pen = stage.pen(x, y, height)
    pen.limb((0, 0.0), 0.035, (0, 0.2), 0.03, (0.33, 0.24, 0.19), label=label("tree"))
    for i, (low, high, half) in enumerate(((0.1, 0.5, 0.25), (0.33, 0.74, 0.2), (0.56, 1.0, 0.145))):
        pen.polygon(
            ((-half, low), (half, low), (0.0, high)), scale_colour(green, 0.82 + 0.12 * i), round=0.012, shade=0.3, label=label("tree")
        )
        if snowy:
            pen.polygon(
                ((-half * 0.5, low + 0.5 * (high - low)), (half * 0.3, low + 0.55 * (high - low)), (0.0, high)),
                (0.93, 0.95, 0.98),
                shade=0.1,
                label=label("tree"),
            )


def sparkle(stage: Stage, top: float, density: float, colour: RGB, strength: float) -> None:
    """Single bright dots: flowers, snow crystals. They lie on a grid of 96 cells a side, so any size shows the same."""
    size, surface = stage.size, stage.surface
    start = max(0, int(top))
    cell = np.float32(96 / size)
    x, y = surface.x * cell, surface.y[start:] * cell
    column, row = np.floor(x), np.floor(y)
    lucky = hash_coordinates(column.astype(np.int64), row.astype(np.int64), stage.dice.bits("sparkle") & 0xFFFF) < density
    dx, dy = x - column - np.float32(0.5), y - row - np.float32(0.5)
    dot = np.clip(np.float32(1.6) - (dx * dx + dy * dy) * np.float32(6.0), 0.0, 1.0)
    paint = np.array(colour, np.float32)[:, None, None]
    rgb = surface.rgb[:, start:]
    rgb += (lucky * dot * np.float32(strength)) * (paint - rgb)
