"""The placebo of an edit of a region: the same edit of a region of the same shape, where no object is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.cutouts import Cutout
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import objects
from robustbench_cv.interventions.shapes import move_elsewhere, place_elsewhere
from robustbench_cv.interventions.target_update import paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample


@dataclass(frozen=True, eq=False)
class Collage:
    """What an edit brings along: image (3, H, W), of which its region is shown; owner: int64 (H, W), which of `objects` a pixel shows, -1
    where it shows none."""

    image: Tensor
    owner: Tensor
    objects: tuple[Cutout, ...]

    def moved(self, source: Tensor) -> Collage:
        """The same with every pixel taken from another place: int64 (H, W), places in the flat image."""
        return Collage(self.image.flatten(1)[:, source], self.owner.flatten()[source], self.objects)


class Area(NamedTuple):
    """Pixels, bool (H, W). chosen: of the objects that the edit is about, None where it is about none. region: those that it edits.

    collage: what is shown there, of an edit that brings pixels along. stays: the part of the region that is where no object is, which the
    placebo leaves where it is. left_out: indices of objects that were meant and that the edit could not serve; they are not scored.
    """

    chosen: Tensor | None
    region: Tensor
    collage: Collage | None = None
    stays: Tensor | None = None
    left_out: frozenset[int] = frozenset()


class RegionEdit(Protocol):
    """An edit that can be done anywhere. stream: the purpose of its random numbers, which it shares with its placebo."""

    @property
    def stream(self) -> str: ...
    @property
    def needs(self) -> frozenset[str]: ...

    def area(self, sample: Sample, noise: Noise, /) -> Area:
        """Where the edit itself is done. NotApplicable where it cannot serve the sample."""
        ...

    def apply(self, sample: Sample, noise: Noise, area: Area, /, *, instead_of: Tensor | None = None) -> Sample:
        """The edit of an area. instead_of: of a placebo, the region of the edit itself, bool (H, W)."""
        ...


@dataclass(frozen=True)
class Elsewhere(Intervention):
    """The edit where it touches no object; nothing is removed."""

    edit: RegionEdit

    @property
    def needs(self) -> frozenset[str]:
        return self.edit.needs | {"objects"}

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.edit.stream)
        area = self.edit.area(sample, stream)
        forbidden = objects(sample) if area.chosen is None else objects(sample) | area.chosen
        return self.edit.apply(sample, stream, _moved(area, forbidden, stream), instead_of=area.region)


def _moved(area: Area, forbidden: Tensor, noise: Noise) -> Area:
    """The area where nothing is forbidden: beside what stays, or, where there is no room beside, over it."""
    if area.stays is None:
        return _moved_off(area, forbidden, noise)
    try:
        return _moved_off(area, forbidden | area.stays, noise)
    except NotApplicable:
        return _moved_off(area, forbidden, noise)


def _moved_off(area: Area, forbidden: Tensor, noise: Noise) -> Area:
    """The area, but for what stays, off what is forbidden. What a collage shows of one object is moved as one."""
    stays = area.stays
    region = area.region if stays is None else area.region & ~stays
    if area.collage is None:
        moved, collage = place_elsewhere(region, forbidden, noise), None
    else:
        owner = area.collage.owner.masked_fill(~region, -1)
        shown = sorted((owner == k for k in torch.unique(owner[owner >= 0]).tolist()), key=lambda part: -int(part.sum()))
        moved, source = move_elsewhere(shown, forbidden, noise)
        collage = area.collage.moved(source)
    return area._replace(region=moved if stays is None else moved | stays, collage=collage)
