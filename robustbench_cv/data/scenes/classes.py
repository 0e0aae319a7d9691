"""The names of Scenes: contexts, object classes with the context each is usually seen in, and stuff classes."""

from __future__ import annotations

HOME: dict[str, str] = {
    "car": "street",
    "person": "street",
    "boat": "sea",
    "cow": "meadow",
    "skier": "snow",
    "chair": "room",
    "dog": "room",
    "plane": "sky",
    "camel": "desert",
    "tent": "forest",
}
"""Each object class's usual context."""

CONTEXTS: tuple[str, ...] = ("street", "sea", "meadow", "snow", "room", "sky", "desert", "forest")

OBJECTS: tuple[str, ...] = tuple(HOME)
"""Labels of classification and detection."""

STUFF: tuple[str, ...] = (
    "sky",
    "mountain",
    "tree",
    "building",
    "road",
    "sidewalk",
    "grass",
    "water",
    "sand",
    "snow",
    "wall",
    "floor",
)

PIXELS: tuple[str, ...] = STUFF + OBJECTS
"""Labels of segmentation."""

NATIVES: dict[str, tuple[str, ...]] = {c: tuple(o for o in OBJECTS if HOME[o] == c) for c in CONTEXTS}
"""The object classes whose usual context this is."""
