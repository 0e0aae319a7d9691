"""A scene to pixels, instance masks, a semantic map and boxes."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from robustbench_cv.data.scenes import animals, nature, people, street_and_room, things, vehicles
from robustbench_cv.data.scenes.backdrop import HOURS, Stage
from robustbench_cv.data.scenes.canvas import Canvas, Pen
from robustbench_cv.data.scenes.classes import PIXELS
from robustbench_cv.data.scenes.depth import Point
from robustbench_cv.data.scenes.named_rng import NamedRng
from robustbench_cv.data.scenes.noise_fields import Array, hash_coordinates, tile
from robustbench_cv.data.scenes.scene import Object, Scene
from robustbench_cv.data.scenes.solid_pen import SolidPen, cosine_and_sine

RENDERER_VERSION = 1
"""Part of every sample's fingerprint: raised whenever a pixel may change."""

MIN_SHARE, MIN_PIXELS = 0.25, 30
"""An object is annotated if this share of it, and this many pixels at 96 px a side, are to be seen."""

BACKDROPS = {
    "street": street_and_room.street,
    "sea": nature.sea,
    "meadow": nature.meadow,
    "snow": nature.snow,
    "room": street_and_room.room,
    "sky": nature.heaven,
    "desert": nature.desert,
    "forest": nature.forest,
}
FIGURES = {
    "car": vehicles.car,
    "boat": vehicles.boat,
    "plane": vehicles.plane,
    "cow": animals.cow,
    "dog": animals.dog,
    "camel": animals.camel,
    "person": people.person,
    "skier": people.skier,
    "chair": things.chair,
    "tent": things.tent,
}
EXTENT = {
    "car": (1.02, 0.54),
    "boat": (1.0, 1.0),
    "plane": (1.06, 0.5),
    "cow": (1.0, 0.84),
    "dog": (1.06, 1.0),
    "camel": (1.0, 1.03),
    "person": (0.46, 1.03),
    "skier": (1.0, 0.86),
    "chair": (0.8, 1.02),
    "tent": (1.02, 0.64),
}
"""Width and height of each class's figure, in its own size."""

LENGTH = {
    "car": 0.46,
    "boat": 0.34,
    "plane": 1.0,
    "cow": 0.42,
    "dog": 0.4,
    "camel": 0.4,
    "person": 0.4,
    "skier": 0.4,
    "chair": 0.6,
    "tent": 0.8,
}
"""How far each figure reaches from front to back as it is drawn, in its own size."""

FLYING = frozenset({"plane"})


@dataclass(frozen=True, eq=False, kw_only=True)
class Rendered:
    """What a scene looks like and where everything is. H = W = scene.size; M annotated objects, in the order of scene.objects.

    image uint8 (H, W, 3); labels uint8 (H, W), indices of PIXELS; annotated: positions in scene.objects (M,);
    visible, amodal: bool (M, H, W); boxes float32 (M, 4), xyxy around the visible mask; touched: bool (n, H, W) for *all* n objects,
    every pixel that an object or its shadow changes.
    """

    image: Array
    labels: Array
    annotated: tuple[int, ...]
    visible: Array
    amodal: Array
    boxes: Array
    touched: Array


def render(scene: Scene) -> Rendered:
    """Paint the backdrop, then the objects from far to near, then the light of the hour over all."""
    size = scene.size
    surface = Canvas(0, 0, size, size, opaque=True)
    BACKDROPS[scene.context](Stage(surface, scene, NamedRng(f"{scene.seed}/{scene.context}")))
    count = len(scene.objects)
    owner = np.full((size, size), 255, np.uint8)
    amodal, touched = np.zeros((count, size, size), np.bool_), np.zeros((count, size, size), np.bool_)
    for index in sorted(range(count), key=lambda i: (-scene.objects[i].depth, i)):
        item = scene.objects[index]
        layer = figure(scene, item)
        if scene.context == "sea" and layer is not None:
            _reflection(surface, scene, item, layer, touched[index])
        _shadow(surface, scene, item, touched[index])
        if layer is None or layer.alpha is None:
            continue
        where = (slice(layer.top, layer.bottom), slice(layer.left, layer.right))
        surface.blend(where, layer.alpha, layer.rgb)
        solid = layer.alpha >= 0.5
        amodal[index][where] = solid
        touched[index][where] |= layer.alpha > 0
        owner[where][solid] = index
        surface.labels[where][solid] = PIXELS.index(item.name)
    return _annotate(scene, _develop(surface, scene), surface.labels, owner, amodal, touched)


def figure(scene: Scene, item: Object) -> Canvas | None:
    """One object on a transparent layer of its own; None where it lies outside the picture."""
    size = scene.size
    if item.azimuth % 360:
        return _turned_figure(scene, item)
    wide, tall = EXTENT[item.name]
    square = item.turn * item.turn
    c, s = (1 - square) / (1 + square), abs(2 * item.turn) / (1 + square)
    half, high = (c * wide / 2 + s * tall) * item.size + 0.01, (c * tall + s * wide) * item.size + 0.01
    left, right = math.floor((item.x - half) * size) - 1, math.ceil((item.x + half) * size) + 1
    top, bottom = math.floor((item.y - high) * size) - 1, math.ceil((item.y + s * wide * item.size + 0.03 * item.size) * size) + 2
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, size), min(bottom, size)
    if left >= right or top >= bottom:
        return None
    layer = Canvas(left, top, right, bottom)
    pen = Pen(layer, item.x * size, item.y * size, item.size * size, flip=item.flip, turn=item.turn, light=_towards_light(scene))
    FIGURES[item.name](pen, NamedRng(item.seed), item.colour)
    return _hazy(layer, scene, item)


def _turned_figure(scene: Scene, item: Object) -> Canvas | None:
    """The same object drawn as a solid, turned by its azimuth."""
    size = scene.size
    place = (item.x * size, item.y * size, item.size * size)
    pen = SolidPen(*place, item.azimuth, flip=item.flip, turn=item.turn, light=_towards_light(scene))
    FIGURES[item.name](pen, NamedRng(item.seed), item.colour)
    below = LENGTH[item.name] * (pen.rise + abs(2 * item.turn))
    layer = pen.layer(size, (item.y + (0.03 + below) * item.size) * size + 2)
    return None if layer is None else _hazy(layer, scene, item)


def _towards_light(scene: Scene) -> Point:
    return (0.75 * scene.light.side, 0.65)


def _hazy(layer: Canvas, scene: Scene, item: Object) -> Canvas:
    haze = np.array(HOURS[scene.light.hour].haze, np.float32)[:, None, None]
    distance = np.float32(min(0.18, max(0.0, item.depth) * 0.3))
    layer.rgb += distance * (haze - layer.rgb)
    return layer


def _shadow(surface: Canvas, scene: Scene, item: Object, touched: Array) -> None:
    """Soft contact shadow on the ground, away from the light. None in the sky, none for what flies."""
    if item.name in FLYING or scene.context == "sky":
        return
    size = scene.size
    rx, ry = _width(item) * 0.56 * item.size * size, 0.085 * item.size * size
    cx, cy = (item.x - 0.07 * scene.light.side * item.size) * size, (item.y - 0.012 * item.size) * size
    where = surface.window(cx - rx, cy - ry, cx + rx, cy + ry)
    if where is None:
        return
    dx, dy = (surface.x[:, where[1]] - np.float32(cx)) / np.float32(rx), (surface.y[where[0]] - np.float32(cy)) / np.float32(ry)
    near = np.clip(1.0 - (dx * dx + dy * dy), 0.0, 1.0)
    strength = np.float32(0.42 if scene.light.hour == "overcast" or scene.context == "sea" else 0.56)
    dark = np.array((0.10, 0.10, 0.18), np.float32)[:, None, None]
    surface.blend(where, near * (np.float32(2.0) - near) * strength, dark)
    touched[where] |= near > 0


def _width(item: Object) -> float:
    """How wide an object stands on the ground, in its own size."""
    wide = EXTENT[item.name][0]
    if not item.azimuth % 360:
        return wide
    c, s = cosine_and_sine(item.azimuth)
    across, along = c * wide, s * LENGTH[item.name]
    return math.sqrt(across * across + along * along)


def _reflection(surface: Canvas, scene: Scene, item: Object, layer: Canvas, touched: Array) -> None:
    """The object upside down in the water below it, shortened, broken by waves and fading."""
    assert layer.alpha is not None
    if item.name in FLYING:
        return
    foot = min(math.floor(item.y * scene.size), layer.bottom - 1)
    last = min(scene.size, foot + int((foot - layer.top) * 0.55))
    if last <= foot:
        return
    step = np.arange(last - foot)
    source = foot - layer.top - (step * 9) // 5
    fade = (np.float32(1.0) - step.astype(np.float32) / np.float32(last - foot))[:, None]
    where = (slice(foot, last), slice(layer.left, layer.right))
    wave = np.float32(0.55) + np.float32(0.45) * tile(scene.size, 32, 2)[where]
    cover = layer.alpha[source] * fade * wave * np.float32(0.42) * (surface.labels[where] == PIXELS.index("water"))
    surface.blend(where, cover, layer.rgb[:, source])
    touched[where] |= cover > 0


@functools.lru_cache(maxsize=8)
def _vignette(size: int) -> Array:
    axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / size) - np.float32(1.0)
    square = axis * axis
    dimmed: Array = np.float32(1.02) - np.float32(0.06) * (square[:, None] + square[None, :]) * (square[:, None] + square[None, :])
    return dimmed


@functools.lru_cache(maxsize=8)
def _grain(size: int) -> Array:
    grid = np.arange(size)
    return (hash_coordinates(grid[:, None], grid[None, :], 7) - np.float32(0.5)) * np.float32(0.022)


def _develop(surface: Canvas, scene: Scene) -> Array:
    """Tint, vignette, film grain; uint8 (H, W, 3)."""
    size = scene.size
    tint = np.array(HOURS[scene.light.hour].tint, np.float32)[:, None, None]
    grain = np.roll(_grain(size), NamedRng(scene.seed).bits("grain") % size, axis=1)
    rgb = surface.rgb * (tint * np.float32(255.0)) * _vignette(size) + (grain * np.float32(255.0) + np.float32(0.5))
    return np.ascontiguousarray(np.clip(rgb, 0.0, 255.0).astype(np.uint8).transpose(1, 2, 0))


def _annotate(scene: Scene, image: Array, labels: Array, owner: Array, amodal: Array, touched: Array) -> Rendered:
    """Keep what is visible enough, with tight boxes."""
    least = MIN_PIXELS * (scene.size / 96) ** 2
    annotated, boxes, masks = [], [], []
    for index in range(len(scene.objects)):
        mask = owner == index
        seen = int(mask.sum())
        if seen == 0 or seen < least or seen < MIN_SHARE * int(amodal[index].sum()):
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        masks.append(mask)
        annotated.append(index)
    visible = np.stack(masks) if masks else np.zeros((0, *labels.shape), np.bool_)
    box = np.array(boxes, np.float32).reshape(-1, 4)
    return Rendered(
        image=image, labels=labels, annotated=tuple(annotated), visible=visible, amodal=amodal[annotated], boxes=box, touched=touched
    )
