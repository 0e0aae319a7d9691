"""A painting surface and the pen that draws antialiased shapes on it from signed distances, each inside its own bounding box only.

Pixel centres lie at half-integers; a shape covers a pixel by clip(1/2 - distance, 0, 1), distance in pixels, negative inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robustbench_cv.data.scenes.depth import ROUND, Depth, Point
from robustbench_cv.data.scenes.noise_fields import RGB, Array


class Canvas:
    """A rectangle of the image: rgb float32 (3, h, w), coverage alpha (h, w), and labels uint8 (h, w) for backgrounds.

    left, top: its place in the image, in pixels. An opaque surface starts with alpha 1.
    """

    def __init__(self, left: int, top: int, right: int, bottom: int, *, opaque: bool = False) -> None:
        self.left, self.top, self.right, self.bottom = left, top, right, bottom
        shape = (bottom - top, right - left)
        self.rgb: Array = np.zeros((3, *shape), np.float32)
        self.alpha: Array | None = None if opaque else np.zeros(shape, np.float32)
        self.labels: Array = np.zeros(shape if opaque else (0, 0), np.uint8)
        self.x: Array = (np.arange(left, right, dtype=np.float32) + np.float32(0.5))[None, :]
        self.y: Array = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5))[:, None]

    def window(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice] | None:
        """The rows and columns that a box in image pixels touches; None where it misses the surface."""
        left, right = max(math.floor(x0 - 1), self.left), min(math.ceil(x1 + 1), self.right)
        top, bottom = max(math.floor(y0 - 1), self.top), min(math.ceil(y1 + 1), self.bottom)
        if left >= right or top >= bottom:
            return None
        return slice(top - self.top, bottom - self.top), slice(left - self.left, right - self.left)

    def blend(self, where: tuple[slice, slice], cover: Array, colour: Array, label: int | None = None, *, inside: bool = False) -> None:
        """Paint `colour` ((3, 1, 1) or (3, h, w)) over a window with coverage (h, w); `inside` keeps to what is painted already."""
        rgb = self.rgb[:, where[0], where[1]]
        if self.alpha is not None and not inside:
            alpha = self.alpha[where]
            alpha += cover * (1.0 - alpha)
            cover = cover / np.maximum(alpha, np.float32(1e-6))
        rgb += cover * (colour - rgb)
        if label is not None:
            self.labels[where][cover >= 0.5] = label


class Pen:
    """Draws in an object's own frame: origin at its foot, y up, one unit = `unit` pixels, mirrored by `flip`, turned by `turn`.

    turn is the tangent of half the angle: (1 - t^2) / (1 + t^2) and 2t / (1 + t^2) are its cosine and sine, the same on every platform.
    light: direction towards the light in image axes (y up).
    """

    def __init__(
        self, surface: Canvas, x: float, y: float, unit: float, *, flip: bool = False, turn: float = 0.0, light: Point = (0.4, 0.8)
    ):
        self.surface, self.x, self.y, self.unit = surface, x, y, unit
        self.mirror = -1.0 if flip else 1.0
        self.cos, self.sin = (1 - turn * turn) / (1 + turn * turn), 2 * turn / (1 + turn * turn)
        self.light = light

    @property
    def behind(self) -> bool:
        """False: the near side is the one that is drawn."""
        return False

    def drawn_from(self, azimuth: float, rise: float) -> None:
        """Nothing: the drawing is shown as it is."""

    def place(self, point: Point) -> Point:
        """Local coordinates to image pixels."""
        u, v = point
        u, v = u * self.cos - v * self.sin, u * self.sin + v * self.cos
        return self.x + self.mirror * u * self.unit, self.y - v * self.unit

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: RGB,
        *,
        shade: float = 0.16,
        label: int | None = None,
        inside: bool = False,
        soft: float = 1.0,
        depth: Depth = ROUND,
    ) -> None:
        """An axis-aligned (before the turn) ellipse. soft: width of its edge in pixels. depth: where it is shown at all."""
        if depth.shown == "turned":
            return
        (cx, cy), a, b = self.place((x, y)), max(rx * self.unit, 0.4), max(ry * self.unit, 0.4)
        reach_x = abs(self.cos) * a + abs(self.sin) * b
        reach_y = abs(self.sin) * a + abs(self.cos) * b
        where = self.surface.window(cx - reach_x, cy - reach_y, cx + reach_x, cy + reach_y)
        if where is None:
            return
        dx, dy = self.surface.x[:, where[1]] - np.float32(cx), self.surface.y[where[0]] - np.float32(cy)
        if self.sin == 0.0:
            across, along = dx, dy
        else:
            c, s = np.float32(self.cos), np.float32(self.sin * -self.mirror)
            across, along = dx * c + dy * s, dy * c - dx * s
        k = across * np.float32(1 / a)
        m = along * np.float32(1 / b)
        q = np.sqrt(k * k + m * m)
        self._paint(
            where,
            (q - 1.0) * np.float32(min(a, b) / soft),
            dx,
            dy=dy,
            size=max(a, b),
            colour=colour,
            shade=shade,
            label=label,
            inside=inside,
        )

    def limb(
        self,
        start: Point,
        r0: float,
        end: Point,
        r1: float,
        colour: RGB,
        *,
        shade: float = 0.16,
        label: int | None = None,
        inside: bool = False,
        depth: Depth = ROUND,
    ) -> None:
        """A round-ended stroke whose radius goes from r0 to r1."""
        if depth.shown == "turned":
            return
        (x0, y0), (x1, y1) = self.place(start), self.place(end)
        r0, r1 = max(r0 * self.unit, 0.45), max(r1 * self.unit, 0.45)
        r = max(r0, r1)
        where = self.surface.window(min(x0, x1) - r, min(y0, y1) - r, max(x0, x1) + r, max(y0, y1) + r)
        if where is None:
            return
        dx, dy = self.surface.x[:, where[1]] - np.float32(x0), self.surface.y[where[0]] - np.float32(y0)
        ex, ey = x1 - x0, y1 - y0
        norm = ex * ex + ey * ey + 1e-6
        t = np.clip(dx * np.float32(ex / norm) + dy * np.float32(ey / norm), 0.0, 1.0)
        qx, qy = dx - t * np.float32(ex), dy - t * np.float32(ey)
        distance: Array = np.sqrt(qx * qx + qy * qy) - (np.float32(r0) + t * np.float32(r1 - r0))
        self._paint(where, distance, qx, dy=qy, size=r, colour=colour, shade=shade, label=label, inside=inside)

    def polygon(
        self,
        points: Sequence[Point],
        colour: RGB,
        *,
        round: float = 0.0,
        shade: float = 0.1,
        label: int | None = None,
        inside: bool = False,
        depth: Depth = ROUND,
    ) -> None:
        """A convex polygon, counter-clockwise in the object's frame (y up), with its outline moved out by `round`."""
        if depth.shown == "turned":
            return
        spots = [self.place(p) for p in points]
        r = round * self.unit
        xs, ys = [p[0] for p in spots], [p[1] for p in spots]
        where = self.surface.window(min(xs) - r, min(ys) - r, max(xs) + r, max(ys) + r)
        if where is None:
            return
        x, y = self.surface.x[:, where[1]], self.surface.y[where[0]]
        distance: Array | None = None
        for i, (x0, y0) in enumerate(spots):
            x1, y1 = spots[(i + 1) % len(spots)]
            # y points down in the image: a counter-clockwise edge (ex, ey) has its outside at (-ey, ex), mirrored (ey, -ex).
            nx, ny = (y0 - y1) * self.mirror, (x1 - x0) * self.mirror
            length = math.sqrt(nx * nx + ny * ny) + 1e-9
            nx, ny = nx / length, ny / length
            edge = x * np.float32(nx) + (y * np.float32(ny) - np.float32(nx * x0 + ny * y0))
            distance = edge if distance is None else np.maximum(distance, edge)
        assert distance is not None
        if r:
            distance = distance - np.float32(r)
        cx, cy = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
        size = max(max(xs) - min(xs), max(ys) - min(ys)) / 2 + 1e-6
        self._paint(
            where, distance, x - np.float32(cx), dy=y - np.float32(cy), size=size, colour=colour, shade=shade, label=label, inside=inside
        )

    def _paint(
        self,
        where: tuple[slice, slice],
        distance: Array,
        dx: Array,
        dy: Array,
        size: float,
        colour: RGB,
        shade: float,
        label: int | None,
        inside: bool,
    ) -> None:
        cover = np.clip(0.5 - distance, 0.0, 1.0)
        paint: Array = np.array(colour, np.float32)[:, None, None]
        if shade:
            k = shade / size
            lit = (dx * np.float32(k * self.light[0]) + np.float32(1.0)) - dy * np.float32(k * self.light[1])
            paint = paint * lit
        self.surface.blend(where, cover, paint, label, inside=inside)
