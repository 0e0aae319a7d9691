"""Ways to cover a part of a picture: shapes that grow, and objects that other samples lend."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from torch import Tensor

from robustbench_cv.errors import UserError
from robustbench_cv.interventions.collages import Layers
from robustbench_cv.interventions.cutout_placing import MOST_ENLARGED, Placed, place_over
from robustbench_cv.interventions.cutouts import Cutout, Loan
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.object_selection import share as share_of
from robustbench_cv.interventions.occluders import OBJECT, SILHOUETTE, STYLES, covering_pixels
from robustbench_cv.interventions.placebo import Collage
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample

MOST_OFFERS = 16
"""Objects that are tried as one occluder before it is given up (project choice)."""

MOST_BESIDE, LARGEST_BESIDE = 64, 0.1
"""Occluders beside the objects: how many are tried, and the largest share of the context that one of them has (project choices)."""


Range: TypeAlias = tuple[float, float]
"""From the first, to below the second."""

ANY: Range = (0.0, math.inf)


class Part(NamedTuple):
    """An object's visible pixels and the room that an occluder of it may take, bool (H, W).

    avoid: looks up the classes that must not cover it; None where it is not known what it is.
    """

    mask: Tensor
    room: Tensor
    avoid: Callable[[], frozenset[str] | None]


class Cover(Protocol):
    """Covers one part after the other. Masks are bool (H, W); None where a part cannot be covered so."""

    def over(self, part: Part, share: float, noise: Noise, within: Range) -> Tensor | None:
        """Cover a share of an object's visible pixels, one in [low, high): what is covered in the room."""
        ...

    def beside(self, context: Tensor, share: float, noise: Noise, avoid: Collection[str]) -> Tensor:
        """Cover a share of what is around the objects: what is covered of it."""
        ...

    @property
    def asks_classes(self) -> bool:
        """Whether it must know what an object is to cover it."""
        ...

    @property
    def collage(self) -> Collage | None:
        """The pixels it brought along, None where it brings none."""
        ...


@dataclass(frozen=True)
class Grown:
    """A shape that grows until it covers the share (see `occluders`)."""

    style: str

    def over(self, part: Part, share: float, noise: Noise, within: Range) -> Tensor | None:
        covered = covering_pixels(part.mask, STYLES[self.style](part.mask, noise), share)
        return covered & part.room if _holds(within, share_of(part.mask, covered)) else None

    def beside(self, context: Tensor, share: float, noise: Noise, avoid: Collection[str]) -> Tensor:
        return covering_pixels(context, STYLES[self.style](context, noise), share) & context

    @property
    def asks_classes(self) -> bool:
        return False

    @property
    def collage(self) -> None:
        return None


@dataclass(eq=False)
class Pasted:
    """Objects of a loan, each put on top of those before. size: of an occluder, in areas of the object that it covers.

    real: whether the objects themselves are shown, not only their outlines in another texture.
    """

    layers: Layers
    loan: Loan
    real: bool
    size: float = 1.0

    @classmethod
    def on(cls, sample: Sample, loan: Loan, size: float = 1.0, *, real: bool) -> Pasted:
        """Nothing yet, on a sample's image."""
        return cls(Layers.over(sample.image), loan, real, size)

    def over(self, part: Part, share: float, noise: Noise, within: Range) -> Tensor | None:
        avoid = part.avoid()
        if avoid is None:
            return None
        self.loan.require(avoid)
        for one in itertools.islice(self.loan.offers(avoid), MOST_OFFERS):
            placed = place_over(one, part.mask, share, noise, self.size)
            if placed is not None and _holds(within, placed.share):
                self.loan.take(one)
                return self.layers.put(placed, part.room)
        return None

    def beside(self, context: Tensor, share: float, noise: Noise, avoid: Collection[str]) -> Tensor:
        rng, left, area = noise.fork("beside").rng(), context.clone(), int(context.sum())
        covered = context & ~left
        for _ in range(MOST_BESIDE):
            missing = share - int(covered.sum()) / area
            one = next(self.loan.offers(avoid), None)
            if missing <= 0.005 or one is None:
                break
            self.loan.take(one)
            placed = _centred(one, min(missing, LARGEST_BESIDE) * area, left, int(rng.integers(int(left.sum()))))
            if placed is not None:
                covered = covered | self.layers.put(placed, context)
                left = context & ~covered
        return covered

    @property
    def asks_classes(self) -> bool:
        return True

    @property
    def collage(self) -> Collage:
        made = self.layers.done()
        return made if self.real else Collage(made.image, made.owner, ())


def cover_by(style: str, texture: str, sample: Sample, seed: int, donors: Donors | None, size: float = 1.0) -> Cover:
    """What covers a sample's objects in a style and a texture. UserError where it is to be lent and nobody lends."""
    if style != SILHOUETTE:
        return Grown(style)
    if donors is None:
        raise UserError(f"an occluder in texture={texture!r}, style={style!r} is borrowed: call with_donors(Donors(samples)) first")
    return Pasted.on(sample, Loan(donors, sample, seed), size, real=texture == OBJECT)


def _holds(within: Range, share: float) -> bool:
    return within[0] <= share < within[1]


def _centred(cutout: Cutout, area: float, left: Tensor, which: int) -> Placed | None:
    """An object of at most this area with its centre at a pixel that is left, the one of that number."""
    factor = (area / cutout.area) ** 0.5
    if factor > MOST_ENLARGED:
        return None
    made = cutout.scaled(factor)
    y, x = (int(v) for v in left.nonzero()[which])
    return Placed(made, y - made.mask.shape[0] // 2, x - made.mask.shape[1] // 2, 0.0) if made.mask.any() else None
