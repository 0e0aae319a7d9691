"""The description that a picture is rendered from. Editing it and rendering again gives the exact counterfactual."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from robustbench_cv.data.scenes.classes import CONTEXTS, OBJECTS
from robustbench_cv.data.scenes.noise_fields import RGB

if TYPE_CHECKING:
    from robustbench_cv.data.scenes.render import Rendered


@dataclass(frozen=True)
class Light:
    """hour: "noon", "morning", "golden", "dusk" or "overcast". side: where the light comes from, -1 (left) to 1 (right)."""

    hour: str = "noon"
    side: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Object:
    """One object. x, y: its foot, from the top left, in sides of the image; size: its longest side, likewise.

    depth: objects are painted from the largest depth to the smallest. turn: tangent of half the tilt. seed: of its own details.
    azimuth: degrees by which its front is turned towards the viewer, about its upright axis: 0 from the side, as it is drawn, 90 from the
    front, 180 from the other side, -90 from behind.
    """

    name: str
    x: float
    y: float
    size: float
    colour: RGB
    seed: str
    depth: float = 0.0
    flip: bool = False
    turn: float = 0.0
    main: bool = False
    # Not in the repr, which the fingerprints of data hash: none of their objects is turned.
    azimuth: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        if self.name not in OBJECTS:
            raise ValueError(f"no object class {self.name!r} in Scenes; there are {', '.join(OBJECTS)}")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture as a description. Every element draws from its own seed, so an edit changes what it names and nothing else.

    horizon: its height from the top, in sides of the image. seed: of the backdrop's layout and texture. size: pixels a side.
    """

    context: str
    objects: tuple[Object, ...] = ()
    light: Light = field(default_factory=Light)
    horizon: float = 0.45
    seed: str = "0"
    size: int = 96

    def __post_init__(self) -> None:
        if self.context not in CONTEXTS:
            raise ValueError(f"no context {self.context!r} in Scenes; there are {', '.join(CONTEXTS)}")

    @property
    def main(self) -> Object | None:
        """The object that the class label means; None once it is removed."""
        return next((o for o in self.objects if o.main), None)

    def without(self, indices: Collection[int]) -> Scene:
        """The same scene less these objects (positions in `objects`)."""
        unknown = sorted(set(indices) - set(range(len(self.objects))))
        if unknown:
            raise IndexError(f"no object {unknown[0]} in a scene of {len(self.objects)}")
        return replace(self, objects=tuple(o for i, o in enumerate(self.objects) if i not in indices))

    def in_context(self, context: str) -> Scene:
        """The same objects, where they are, in another context."""
        return replace(self, context=context)

    def with_colour(self, index: int, colour: RGB) -> Scene:
        """One object painted in another colour."""
        return self.with_change(index, colour=colour)

    def with_change(self, index: int, **fields: object) -> Scene:
        """One object with some fields replaced: moved (x, y), brought forward (depth), turned, resized."""
        changed = replace(self.objects[index], **fields)  # type: ignore[arg-type]
        return replace(self, objects=(*self.objects[:index], changed, *self.objects[index + 1 :]))

    def turned(self, azimuth: float) -> Scene:
        """Every object turned by these degrees, where it stands, towards showing its front."""
        return replace(self, objects=tuple(replace(o, azimuth=o.azimuth + azimuth) for o in self.objects))

    def with_object(self, extra: Object) -> Scene:
        """One object more; at a small depth it occludes the others."""
        return replace(self, objects=(*self.objects, extra))

    def render(self) -> Rendered:
        """Pixels, masks, semantic map and boxes."""
        from robustbench_cv.data.scenes.render import render  # the renderer imports this module

        return render(self)
