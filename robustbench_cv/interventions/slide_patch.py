"""A grey square at one position of a grid (the occlusion test of Zeiler, Fergus, ECCV 2014, arXiv:1311.2901)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_cv.arguments import NonNegativeInt, PositiveInt
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.fill import fill_region, known_fill
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.placebo import Area, Elsewhere
from robustbench_cv.interventions.shapes import scale_length
from robustbench_cv.interventions.target_update import cut_regions, ignore_pixels, make_edited, origin, paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import Sample

SIDE, STRIDE, AT = 32, 8, 224
"""Side and stride in pixels at a shorter side of 224 px (project choice: the paper gives neither), scaled with the image."""


class Square(NamedTuple):
    """Pixel rows top..bottom and columns left..right, far edges exclusive, clipped to the image."""

    top: int
    left: int
    bottom: int
    right: int


def positions(height: int, width: int, side: int | None = None, stride: int | None = None) -> list[Square]:
    """Every position of the patch, row by row. Centres lie `stride` apart inside the image, the grid in its middle. Squares that reach over
    the border are clipped, not shifted (project choice): each pixel is covered, those of a corner by a quarter as many squares as others.

    >>> positions(4, 4, side=2, stride=3)
    [Square(top=0, left=0, bottom=1, right=1), Square(top=0, left=2, bottom=1, right=4), Square(top=2, left=0, bottom=4, right=1), \
Square(top=2, left=2, bottom=4, right=4)]
    """
    side = scale_length(SIDE, AT, height, width) if side is None else side
    stride = scale_length(STRIDE, AT, height, width) if stride is None else stride
    return [
        Square(max(top, 0), max(left, 0), min(top + side, height), min(left + side, width))
        for top in _starts(height, side, stride)
        for left in _starts(width, side, stride)
    ]


def _starts(length: int, side: int, stride: int) -> Iterator[int]:
    for centre in range((length - 1) % stride // 2, length, stride):
        yield centre - side // 2


@intervention(paper="arXiv:1311.2901")
def slide_patch(
    index: NonNegativeInt = 0, side: PositiveInt | None = None, stride: PositiveInt | None = None, fill: str = "gray"
) -> Intervention:
    """Cover the square at one position of the grid (see `positions`): index 0 is the top left one, counted row by row.

    side, stride: pixels; None is 32 and 8 at a shorter side of 224 px, scaled. fill: "gray", "black", "mean", "noise" or any other fill.
    """
    return SlidePatch(index, side, stride, fill)


@intervention(paper="arXiv:1311.2901")
def slide_patch_control(
    index: NonNegativeInt = 0, side: PositiveInt | None = None, stride: PositiveInt | None = None, fill: str = "gray"
) -> Intervention:
    """The placebo of `slide_patch`: a square of the same size at a random place that touches no object (project choice)."""
    return Elsewhere(SlidePatch(index, side, stride, fill))


@dataclass(frozen=True)
class SlidePatch(Intervention):
    """One position of the sliding patch."""

    index: int
    side: int | None
    stride: int | None
    fill: str

    def __post_init__(self) -> None:
        known_fill(self.fill)
        if self.index < 0:
            raise UserError(f"index={self.index} must be 0 or more, the position on the grid")
        for name, value in (("side", self.side), ("stride", self.stride)):
            if value is not None and value < 1:
                raise UserError(f"{name}={value} must be at least 1 pixel")

    @property
    def control(self) -> str | None:
        return str(Spec("slide-patch-control", {name: getattr(self, name) for name in ("index", "side", "stride", "fill")}))

    @property
    def stream(self) -> str:
        return "slide-patch"

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.stream)
        return self.apply(sample, stream, self.area(sample, stream))

    def area(self, sample: Sample, noise: Noise, /) -> Area:
        """The covered square. NotApplicable where the image has no such position."""
        height, width = sample.image.shape[-2:]
        grid = positions(height, width, self.side, self.stride)
        if self.index >= len(grid):
            raise NotApplicable(f"sample {sample.id} of {height} x {width} pixels has {len(grid)} patch positions, no index {self.index}")
        at = grid[self.index]
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[at.top : at.bottom, at.left : at.right] = True
        return Area(None, mask)

    def apply(self, sample: Sample, noise: Noise, area: Area, /, *, instead_of: Tensor | None = None) -> Sample:
        """The sample with an area painted over; label maps ignore it, and what a placebo's own edit covers."""
        ignore = area.region if instead_of is None else area.region | instead_of
        return make_edited(
            sample,
            "slide-patch" if instead_of is None else "slide-patch-control",
            fill_region(sample.image, area.region, self.fill, noise),
            region=area.region,
            target=ignore_pixels(sample.target, ignore),
            before=ignore_pixels(origin(sample), ignore),
            regions=cut_regions(sample, area.region),
        )
