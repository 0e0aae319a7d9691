"""The pen that draws a figure as a solid, turned about its upright axis: the same strokes as from the side, each with its depth.

A stroke is kept as an ellipsoid, a limb or a prism, with what is painted on it, until all are known; then each pixel shows the nearest,
antialiased as from the side. Turned by 0 degrees it draws what `Pen` draws, but for what depth shows otherwise than the order of strokes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from robustbench_cv.data.scenes.canvas import Canvas
from robustbench_cv.data.scenes.depth import ROUND, Depth, Point
from robustbench_cv.data.scenes.noise_fields import RGB, Array
from robustbench_cv.data.scenes.solids import (
    Ellipsoid,
    Limb,
    Matrix,
    Prism,
    Solid,
    Vector,
    hull,
    inverse,
    polygon_distance,
    product,
    times,
)

SHEET = 0.012
"""Half the thickness of a polygon that declares none."""
LATER = 0.002
"""By how much each stroke stands before the one drawn earlier, in the object's unit: it decides between surfaces that touch."""

Outline = Callable[[Array, Array], Array]
"""The signed distance from a shape in the plane of the drawing, in the object's unit."""


@dataclass(frozen=True)
class Paint:
    """What lies on the strokes before it, through and through. z: the depth at which it is drawn."""

    outline: Outline
    colour: RGB
    z: float
    before: int


@dataclass(frozen=True)
class Stroke:
    solid: Solid
    colour: RGB
    shade: float


def cosine_and_sine(degrees: float) -> Point:
    """Rounded to nine decimals, which are the same on every platform."""
    radians = math.radians(degrees)
    return round(math.cos(radians), 9), round(math.sin(radians), 9)


@dataclass
class SolidPen:
    """The same frame and arguments as `Pen`. azimuth: degrees by which the object's front is turned towards the viewer.

    unit: pixels. turn: tangent of half the tilt.
    """

    x: float
    y: float
    unit: float
    azimuth: float
    flip: bool = False
    turn: float = 0.0
    light: Point = (0.4, 0.8)
    own: float = 0.0
    rise: float = 0.0
    strokes: list[Stroke] = field(default_factory=list)
    paints: list[Paint] = field(default_factory=list)

    @property
    def behind(self) -> bool:
        return cosine_and_sine(self.azimuth)[0] < 0

    def drawn_from(self, azimuth: float, rise: float) -> None:
        self.own, self.rise = azimuth, rise

    @property
    def placed(self) -> Matrix:
        """From the object's coordinates to the viewer's: tilted, turned about the upright axis, the farther drawn higher."""
        (c, s), t = cosine_and_sine(self.azimuth + self.own), self.turn
        cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
        tilted: Matrix = ((cos, -sin, 0.0), (sin, cos, 0.0), (0.0, 0.0, 1.0))
        yaw: Matrix = ((c, 0.0, -s), (0.0, 1.0, 0.0), (s, 0.0, c))
        above: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, -self.rise), (0.0, 0.0, 1.0))
        return product(above, product(yaw, tilted))

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: RGB,
        *,
        shade: float = 0.16,
        inside: bool = False,
        soft: float = 1.0,
        depth: Depth = ROUND,
    ) -> None:
        """An ellipsoid; without a thickness, of the smaller radius. soft: not used, no figure has soft edges."""
        least = 0.4 / self.unit
        rx, ry = max(rx, least), max(ry, least)

        def outline(u: Array, v: Array) -> Array:
            k, m = (u - np.float32(x)) * np.float32(1 / rx), (v - np.float32(y)) * np.float32(1 / ry)
            distance: Array = (np.sqrt(k * k + m * m) - np.float32(1.0)) * np.float32(min(rx, ry))
            return distance

        if self._paint(outline, colour, depth, inside=inside):
            return
        half = max(min(rx, ry) if depth.half is None else depth.half, least)
        for z in _sides(depth):
            self._stroke(Ellipsoid.of(self.placed, (x, y, z), (rx, ry, half)), colour, shade)

    def limb(
        self,
        start: Point,
        r0: float,
        end: Point,
        r1: float,
        colour: RGB,
        *,
        shade: float = 0.16,
        inside: bool = False,
        depth: Depth = ROUND,
    ) -> None:
        """A round limb."""
        r0, r1 = max(r0, 0.45 / self.unit), max(r1, 0.45 / self.unit)

        def outline(u: Array, v: Array) -> Array:
            flat = Limb((*start, 0.0), r0, (*end, 0.0), r1)
            return flat.seen(u, v, (0.0, 0.0, 0.0), 0.0).distance

        if self._paint(outline, colour, depth, inside=inside):
            return
        for sign in (1, -1) if depth.pair else (1,):
            z0, z1 = sign * depth.z, sign * (depth.z if depth.end is None else depth.end)
            self._stroke(Limb(times(self.placed, (*start, z0)), r0, times(self.placed, (*end, z1)), r1), colour, shade)

    def polygon(
        self,
        points: Sequence[Point],
        colour: RGB,
        *,
        round: float = 0.0,
        shade: float = 0.1,
        inside: bool = False,
        depth: Depth = ROUND,
    ) -> None:
        """A prism with this outline."""

        def outline(u: Array, v: Array) -> Array:
            return polygon_distance(hull(points), u, v) - np.float32(round)

        if self._paint(outline, colour, depth, inside=inside):
            return
        half, placed = SHEET if depth.half is None else depth.half, self.placed
        for z in _sides(depth):
            one, other = ([(a, w, b) if depth.level else (a, b, w) for a, b in points] for w in (z + half, z - half))
            solid = Prism(tuple(times(placed, p) for p in one), tuple(times(placed, p) for p in other), round)
            self._stroke(solid, colour, shade)

    def _stroke(self, solid: Solid, colour: RGB, shade: float) -> None:
        self.strokes.append(Stroke(solid, colour, shade))

    def _paint(self, outline: Outline, colour: RGB, depth: Depth, *, inside: bool) -> bool:
        """Whether the stroke is done with: it belongs to the view from the side, or lies on others."""
        if depth.shown == "side":
            return True
        if inside or depth.paint:
            self.paints.append(Paint(outline, colour, depth.z, len(self.strokes)))
            return True
        return False

    def layer(self, size: int, floor: float) -> Canvas | None:
        """All strokes, the nearer over the farther, on a layer of their own within an image of `size` pixels a side.

        floor: nothing is drawn below it, in pixels. None where all lies outside the image.
        """
        bounds = [stroke.solid.bounds for stroke in self.strokes]
        mirror = -1.0 if self.flip else 1.0
        sides = [self.x + mirror * u * self.unit for b in bounds for u in (b[0], b[2])]
        left, right = max(math.floor(min(sides)) - 1, 0), min(math.ceil(max(sides)) + 1, size)
        top = max(math.floor(self.y - max(b[3] for b in bounds) * self.unit) - 1, 0)
        bottom = min(math.ceil(self.y - min(b[1] for b in bounds) * self.unit) + 1, math.ceil(floor), size)
        if left >= right or top >= bottom:
            return None
        layer = Canvas(left, top, right, bottom)
        u = (layer.x - np.float32(self.x)) * np.float32(mirror / self.unit)
        v = (np.float32(self.y) - layer.y) * np.float32(1 / self.unit)
        light = (mirror * self.light[0], self.light[1], 0.5)
        covers, depths, colours = zip(*(self._seen(k, u, v, light) for k in range(len(self.strokes))), strict=True)
        order = np.argsort(np.stack(depths), axis=0, kind="stable")
        cover = np.take_along_axis(np.stack(covers), order, axis=0)
        colour = np.take_along_axis(np.stack(colours), order[:, None], axis=0)
        for k in range(len(order)):
            layer.blend((slice(None), slice(None)), cover[k], colour[k])
        return layer

    def _seen(self, k: int, u: Array, v: Array, light: Vector) -> tuple[Array, Array, Array]:
        """Cover (h, w), depth (h, w) and colour (3, h, w) of one stroke with what is painted on it."""
        stroke = self.strokes[k]
        distance, depth, tone = stroke.solid.seen(u, v, light, stroke.shade)
        colour = np.array(stroke.colour, np.float32)[:, None, None] * np.ones(distance.shape, np.float32)
        for paint in self.paints:
            if paint.before > k:
                x, y = self._on_drawing(u, v, depth, paint.z)
                share = np.clip(np.float32(0.5) - paint.outline(x, y) * np.float32(self.unit), 0.0, 1.0)
                colour += share * (np.array(paint.colour, np.float32)[:, None, None] - colour)
        cover = np.clip(np.float32(0.5) - distance * np.float32(self.unit), 0.0, 1.0)
        return cover, depth + np.float32(LATER * k), colour * tone

    def _on_drawing(self, u: Array, v: Array, w: Array, z: float) -> tuple[Array, Array]:
        """Where points of a surface lie in the drawing, brought straight to the depth z at which paint is drawn."""
        x, y = (u * np.float32(row[0]) + v * np.float32(row[1]) + w * np.float32(row[2]) for row in inverse(self.placed)[:2])
        return x, y - np.float32(self.rise * z)


def _sides(depth: Depth) -> tuple[float, ...]:
    return (depth.z, -depth.z) if depth.pair else (depth.z,)
