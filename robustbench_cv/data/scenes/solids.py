"""Ellipsoids, limbs and prisms as a viewer sees them: the signed distance from their outline, their depth and their tone at each pixel.

Positions (u, v, w) are in the object's own unit: right, up, and towards the viewer, who is far away. Plain float arithmetic, no BLAS, so
that every platform draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from robustbench_cv.data.scenes.depth import Point
from robustbench_cv.data.scenes.noise_fields import Array

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
Bounds = tuple[float, float, float, float]

HIDDEN = np.float32(-1e3)
FACING = 0.22
"""How much darker or lighter a face of a prism is than one that looks at the viewer, times the cosine."""


class Seen(NamedTuple):
    """distance: from the outline, negative inside; depth: w of the front; tone: factor of the colour. Each (h, w) float32."""

    distance: Array
    depth: Array
    tone: Array


class Solid(Protocol):
    """A convex part in the viewer's coordinates."""

    @property
    def bounds(self) -> Bounds:
        """u0, v0, u1, v1."""
        ...

    def seen(self, u: Array, v: Array, light: Vector, shade: float) -> Seen:
        """At columns u (1, w) and rows v (h, 1). light: towards it. shade: how much the tone changes from the middle to the edge."""
        ...


def times(matrix: Matrix, vector: Vector) -> Vector:
    """The matrix times a vector."""
    a, b, c = (row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2] for row in matrix)
    return a, b, c


def product(first: Matrix, second: Matrix) -> Matrix:
    """First times second."""
    columns = [times(first, (second[0][k], second[1][k], second[2][k])) for k in range(3)]
    a, b, c = ((columns[0][k], columns[1][k], columns[2][k]) for k in range(3))
    return a, b, c


def inverse(matrix: Matrix) -> Matrix:
    """Of an invertible matrix."""
    x, y, z = matrix
    rows = (cross(y, z), cross(z, x), cross(x, y))
    scale = 1 / dot(x, rows[0])
    a, b, c = ((rows[0][k] * scale, rows[1][k] * scale, rows[2][k] * scale) for k in range(3))
    return a, b, c


def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _minus(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _across(u: Array, v: Array, middle: Point, size: float, light: Vector, shade: float) -> Array:
    """A tone that grows linearly towards the light."""
    k = shade / max(size, 1e-6)
    tone: Array = (np.float32(1.0) + (u - np.float32(middle[0])) * np.float32(k * light[0])) + (v - np.float32(middle[1])) * np.float32(
        k * light[1]
    )
    return tone


@dataclass(frozen=True)
class Ellipsoid:
    """middle and form: the points p with (p - middle)' form^-1 (p - middle) <= 1; form is symmetric."""

    middle: Vector
    form: Matrix

    @classmethod
    def of(cls, placed: Matrix, middle: Vector, radii: Vector) -> Ellipsoid:
        """An ellipsoid along the object's axes, placed before the viewer."""
        a, b, c = (radii[k] * radii[k] for k in range(3))
        rows = [(placed[i][0] * a, placed[i][1] * b, placed[i][2] * c) for i in range(3)]
        form = [tuple(dot(rows[i], placed[j]) for j in range(3)) for i in range(3)]
        return cls(times(placed, middle), (form[0], form[1], form[2]))  # type: ignore[arg-type]

    @property
    def bounds(self) -> Bounds:
        a, b = math.sqrt(self.form[0][0]), math.sqrt(self.form[1][1])
        return self.middle[0] - a, self.middle[1] - b, self.middle[0] + a, self.middle[1] + b

    def seen(self, u: Array, v: Array, light: Vector, shade: float) -> Seen:
        (a, b, d), (_, c, e), (_, _, f) = self.form
        det = a * c - b * b
        x, y = u - np.float32(self.middle[0]), v - np.float32(self.middle[1])
        square = x * x * np.float32(c / det) + y * y * np.float32(a / det) - x * y * np.float32(2 * b / det)
        spread = math.sqrt(max((a - c) * (a - c) + 4 * b * b, 0.0))
        least = math.sqrt(max((a + c - spread) / 2, 1e-12))
        slope_u, slope_v = (d * c - e * b) / det, (e * a - d * b) / det
        high = math.sqrt(max(f - d * slope_u - e * slope_v, 0.0))
        depth = np.float32(self.middle[2]) + x * np.float32(slope_u) + y * np.float32(slope_v)
        depth = depth + np.sqrt(np.maximum(1.0 - square, np.float32(0.0))) * np.float32(high)
        tone = _across(u, v, self.middle[:2], math.sqrt((a + c + spread) / 2), light, shade)
        return Seen((np.sqrt(square) - np.float32(1.0)) * np.float32(least), depth, tone)


@dataclass(frozen=True)
class Limb:
    """All spheres between one at `start` of radius r0 and one at `end` of radius r1."""

    start: Vector
    r0: float
    end: Vector
    r1: float

    @property
    def bounds(self) -> Bounds:
        (u0, v0, _), (u1, v1, _), r0, r1 = self.start, self.end, self.r0, self.r1
        return min(u0 - r0, u1 - r1), min(v0 - r0, v1 - r1), max(u0 + r0, u1 + r1), max(v0 + r0, v1 + r1)

    def seen(self, u: Array, v: Array, light: Vector, shade: float) -> Seen:
        eu, ev, _ = _minus(self.end, self.start)
        x, y = u - np.float32(self.start[0]), v - np.float32(self.start[1])
        norm = eu * eu + ev * ev + 1e-9
        t = np.clip(x * np.float32(eu / norm) + y * np.float32(ev / norm), 0.0, 1.0)
        distance, depth = self._sphere(x, y, t)
        for other in (np.zeros_like(t), np.ones_like(t), self._foremost(x, y)):
            outside, front = self._sphere(x, y, other)
            depth = np.maximum(depth, np.where(outside < 0, front, HIDDEN))
            distance = np.minimum(distance, outside)
        qx, qy = x - t * np.float32(eu), y - t * np.float32(ev)
        return Seen(distance, depth, _across(qx, qy, (0.0, 0.0), max(self.r0, self.r1), light, shade))

    def _sphere(self, x: Array, y: Array, t: Array) -> tuple[Array, Array]:
        """Distance from the outline of the sphere at each t, 0 at the start and 1 at the end, and its front's depth."""
        eu, ev, ew = _minus(self.end, self.start)
        qx, qy = x - t * np.float32(eu), y - t * np.float32(ev)
        radius, away = np.float32(self.r0) + t * np.float32(self.r1 - self.r0), qx * qx + qy * qy
        front = np.float32(self.start[2]) + t * np.float32(ew) + np.sqrt(np.maximum(radius * radius - away, np.float32(0.0)))
        return np.sqrt(away) - radius, front

    def _foremost(self, x: Array, y: Array) -> Array:
        """The t of the sphere that is in front. Its depth is linear in t plus the root of a quadratic, most - bend (t - middle)^2."""
        (eu, ev, ew), grow = _minus(self.end, self.start), self.r1 - self.r0
        bend = eu * eu + ev * ev - grow * grow
        if bend < 1e-9:  # seen end on: one of the two ends
            return np.zeros((y.shape[0], x.shape[1]), np.float32)
        middle = (x * np.float32(eu) + y * np.float32(ev) + np.float32(self.r0 * grow)) * np.float32(1 / bend)
        most = np.float32(self.r0 * self.r0) - x * x - y * y + middle * middle * np.float32(bend)
        ahead = np.sqrt(np.maximum(most, np.float32(0.0))) * np.float32(ew / math.sqrt(bend * (bend + ew * ew)))
        foremost: Array = np.clip(middle + ahead, 0.0, 1.0)
        return foremost


@dataclass(frozen=True)
class Prism:
    """What lies between two equal convex outlines, moved out by `round`."""

    front: tuple[Vector, ...]
    back: tuple[Vector, ...]
    round: float

    @property
    def bounds(self) -> Bounds:
        us, vs = [p[0] for p in self.front + self.back], [p[1] for p in self.front + self.back]
        return min(us) - self.round, min(vs) - self.round, max(us) + self.round, max(vs) + self.round

    def seen(self, u: Array, v: Array, light: Vector, shade: float) -> Seen:
        depth, tone = None, None
        for normal, height in _faces(self.front, self.back):
            if normal[2] <= 1e-4:
                continue
            k = 1 / normal[2]
            plane = np.float32((height + self.round) * k) - u * np.float32(normal[0] * k) - v * np.float32(normal[1] * k)
            face = np.float32(1 + FACING * (dot(normal, light) - light[2]))
            if depth is None or tone is None:
                depth, tone = plane, np.full(plane.shape, face)
            else:
                tone = np.where(plane < depth, face, tone)
                depth = np.minimum(plane, depth)
        assert depth is not None
        assert tone is not None
        u0, v0, u1, v1 = self.bounds
        middle, size = ((u0 + u1) / 2, (v0 + v1) / 2), max(u1 - u0, v1 - v0) / 2 - self.round
        distance = polygon_distance(hull([(p[0], p[1]) for p in self.front + self.back]), u, v) - np.float32(self.round)
        return Seen(distance, depth, tone * _across(u, v, middle, size, light, shade))


def _faces(front: Sequence[Vector], back: Sequence[Vector]) -> list[tuple[Vector, float]]:
    """Outward unit normals of a prism's faces with the distance of each plane from the origin."""
    count = len(front)
    corners = [tuple(front[:3]), tuple(back[:3])]
    corners += [(front[i], front[(i + 1) % count], back[i]) for i in range(count)]
    middle = tuple(sum(p[k] for p in (*front, *back)) / (2 * count) for k in range(3))
    faces: list[tuple[Vector, float]] = []
    for p, q, r in corners:
        normal = cross(_minus(q, p), _minus(r, p))
        length = math.sqrt(dot(normal, normal))
        if length < 1e-9:
            continue
        sign = 1 if dot(normal, _minus(p, middle)) >= 0 else -1  # type: ignore[arg-type]
        normal = (sign * normal[0] / length, sign * normal[1] / length, sign * normal[2] / length)
        faces.append((normal, dot(normal, p)))
    return faces


def hull(points: Sequence[Point]) -> list[Point]:
    """The convex hull, counter-clockwise (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    halves: list[list[Point]] = []
    for row in (ordered, ordered[::-1]):
        half: list[Point] = []
        for p in row:
            while len(half) > 1 and _turn(half[-2], half[-1], p) <= 1e-9:
                half.pop()
            half.append(p)
        halves.append(half[:-1])
    return halves[0] + halves[1]


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def polygon_distance(points: Sequence[Point], x: Array, y: Array) -> Array:
    """Of a convex polygon, counter-clockwise: negative inside, outside the largest distance from a line through an edge."""
    distance: Array | None = None
    for i, (x0, y0) in enumerate(points):
        x1, y1 = points[(i + 1) % len(points)]
        nx, ny = y1 - y0, x0 - x1
        length = math.sqrt(nx * nx + ny * ny) + 1e-9
        nx, ny = nx / length, ny / length
        edge = x * np.float32(nx) + (y * np.float32(ny) - np.float32(nx * x0 + ny * y0))
        distance = edge if distance is None else np.maximum(distance, edge)
    assert distance is not None
    return distance
