"""What a drawing from the side leaves open: how far in front of an object's middle its parts stand, and how thick they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from robustbench_cv.data.scenes.noise_fields import RGB

Point = tuple[float, float]


@dataclass(frozen=True)
class Depth:
    """Where a part stands across the picture, in the object's own unit; the pen that draws from the side needs none of it.

    z: of its middle, towards the viewer. half: half its thickness; None: as round as it is drawn. end: the z of a limb's end.
    level: a polygon's points are (x, z), and it lies at the height of that z. pair: its twin stands at -z. paint: it lies on the surface of
    what is drawn before it.
    shown: in every view, in the one from the side alone, or in all but that.
    """

    z: float = 0.0
    half: float | None = None
    end: float | None = None
    level: bool = False
    pair: bool = False
    paint: bool = False
    shown: Literal["always", "side", "turned"] = "always"


ROUND = Depth()
PAINT = Depth(paint=True)
SIDE = Depth(shown="side")


def at(z: float, half: float | None = None, *, end: float | None = None) -> Depth:
    """A part beside the middle; a limb from z to `end`."""
    return Depth(z, half, end)


def pair(z: float, half: float | None = None) -> Depth:
    """Two parts, one on each side."""
    return Depth(z, half, pair=True)


def level(height: float, half: float) -> Depth:
    """A level board from height - half to height + half, whose points are (x, z); the view from the side does not show it."""
    return Depth(height, half, level=True, shown="turned")


def thick(half: float) -> Depth:
    """A part from -half to half."""
    return Depth(half=half)


def turned(z: float = 0.0, half: float | None = None, *, end: float | None = None, both: bool = False) -> Depth:
    """A part that the view from the side hides."""
    return Depth(z, half, end, pair=both, shown="turned")


class FigurePen(Protocol):
    """What figures are drawn with; `Pen` says what the arguments mean."""

    @property
    def behind(self) -> bool:
        """Whether the object's far side is the near one."""
        ...

    def drawn_from(self, azimuth: float, rise: float) -> None:
        """The drawing is no plain side view: it shows the object turned by this azimuth, and what stands 1 farther back `rise` higher.

        Positions of parts that declare a depth are those of the object when it stands upright and is not turned.
        """
        ...

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
    ) -> None: ...

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
    ) -> None: ...

    def polygon(
        self,
        points: Sequence[Point],
        colour: RGB,
        *,
        round: float = 0.0,
        shade: float = 0.1,
        inside: bool = False,
        depth: Depth = ROUND,
    ) -> None: ...
