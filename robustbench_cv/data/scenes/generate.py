"""Scenes by index: a pure function of (split, index, bias, seed, size)."""

from __future__ import annotations

from dataclasses import replace

from robustbench_cv.data.scenes.classes import CONTEXTS, HOME, NATIVES, OBJECTS
from robustbench_cv.data.scenes.named_rng import NamedRng
from robustbench_cv.data.scenes.noise_fields import RGB, mix
from robustbench_cv.data.scenes.palette import COATS, PAINTS, WHITE
from robustbench_cv.data.scenes.render import EXTENT, FLYING
from robustbench_cv.data.scenes.scene import Light, Object, Scene

ANIMALS = frozenset({"cow", "dog", "camel"})
MOST_OTHERS = 4
TRIES = 12
MOST_HIDDEN = 0.3
"""Share of an object's box that nearer boxes may cover."""


def generate(split: str, index: int, bias: float = 0.8, seed: int = 0, size: int = 96) -> Scene:
    """One scene. Splits draw from hashes of different names, so no scene stands in two.

    With probability `bias` the main object is in its usual context, else in one of the others, all as likely; each further object is,
    with the same probability, of a class that is usual in the context. The same index under another bias keeps all that it can.
    """
    dice = NamedRng(f"scenes/{split}/{seed}/{index}")
    name = _main_class(split, index, seed)
    at_home = dice.chance("home", bias)
    context = HOME[name] if at_home else dice.choice("context", [c for c in CONTEXTS if c != HOME[name]])
    hour = dice.choice("hour", ("noon", "noon", "morning", "golden", "dusk", "overcast"))
    side = dice.between("side", 0.35, 1.0) * (1 if dice.chance("right", 0.5) else -1)
    scene = Scene(
        context=context,
        objects=(),
        light=Light(hour, side),
        horizon=dice.between("horizon", 0.38, 0.5),
        seed=f"{dice.key}/backdrop",
        size=size,
    )
    u = dice.unit("main size")
    main = _object(dice, "main", name, 0.24 + 0.34 * u * (1.2 - 0.2 * u), scene.horizon)
    placed = [replace(main, main=True)]
    for i in range(dice.choice("others", (0, 0, 0, 1, 1, 1, 2, 2, 3, 4))):
        extra = _other(dice, f"other {i}", context, bias, placed, scene.horizon)
        if extra is not None:
            placed.append(extra)
    return replace(scene, objects=tuple(placed))


def _main_class(split: str, index: int, seed: int) -> str:
    """Every block of as many scenes as there are classes shows each class once, in an order of its own."""
    block = NamedRng(f"scenes/{split}/{seed}/block {index // len(OBJECTS)}")
    return sorted(OBJECTS, key=block.bits)[index % len(OBJECTS)]


def _other(dice: NamedRng, role: str, context: str, bias: float, placed: list[Object], horizon: float) -> Object | None:
    """A smaller object that hides little and is little hidden; None where a few tries find no room."""
    natives = NATIVES[context]
    strangers = [c for c in OBJECTS if c not in natives]
    name = dice.choice(f"{role} native", natives) if dice.chance(f"{role} home", bias) else dice.choice(f"{role} stranger", strangers)
    size = max(0.145, placed[0].size * dice.between(f"{role} share", 0.36, 0.54))
    for attempt in range(TRIES):
        made = _object(dice, f"{role} try {attempt}", name, size, horizon, details=role)
        if _clear([*placed, made]):
            return made
    return None


def _object(dice: NamedRng, role: str, name: str, size: float, horizon: float, details: str | None = None) -> Object:
    """Size fixed, place drawn: nearer (lower) when larger, always inside the picture."""
    details = details or role
    seed = f"{dice.key}/{details}"
    width, height = EXTENT[name]
    turn = dice.between(f"{details} turn", -0.12, 0.12) if name in FLYING else 0.0
    if name == "skier":
        turn = -dice.between(f"{details} turn", 0.0, 0.13)
    reach = (width / 2 + abs(2 * turn) * 0.5) * size
    x = dice.between(f"{role} x", reach + 0.01, 1.0 - reach - 0.01)
    if name in FLYING:
        y = dice.between(f"{role} y", height * size + 0.08, 0.72)
    else:
        near = min(1.0, max(0.0, (size - 0.12) / 0.5))
        middle = horizon + 0.12 + (0.9 - horizon - 0.12) * near
        y = min(0.96, max(horizon + 0.08, middle + dice.between(f"{role} y", -0.09, 0.09), height * size + 0.03))
        if turn:
            y = min(y, 0.93)
    return Object(
        name=name,
        x=x,
        y=y,
        size=size,
        colour=_colour(dice, details, name),
        seed=seed,
        depth=1.0 - y,
        flip=dice.chance(f"{details} flip", 0.5),
        turn=turn,
    )


def _colour(dice: NamedRng, role: str, name: str) -> RGB:
    """Animals share one set of coats, everything else one set of paints, each varied a little."""
    colour = dice.choice(f"{role} colour", COATS if name in ANIMALS else PAINTS)
    return mix(mix(colour, WHITE, dice.between(f"{role} pale", 0.0, 0.15)), (0.1, 0.1, 0.12), dice.between(f"{role} dark", 0.0, 0.15))


def _box(item: Object) -> tuple[float, float, float, float]:
    width, height = EXTENT[item.name]
    return item.x - width / 2 * item.size, item.y - height * item.size, item.x + width / 2 * item.size, item.y


def _clear(objects: list[Object]) -> bool:
    """Whether nearer boxes cover no more than MOST_HIDDEN of any farther one."""
    for far in objects:
        a = _box(far)
        hidden = 0.0
        for near in objects:
            if near is not far and near.depth <= far.depth:
                b = _box(near)
                hidden += max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        if hidden > MOST_HIDDEN * (a[2] - a[0]) * (a[3] - a[1]):
            return False
    return True
