"""The placebo of an edit of a region: the same edit of a region of the same shape, where no object is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from robustbench_cv.interventions.object_selection import objects
from robustbench_cv.interventions.shapes import place_elsewhere
from robustbench_cv.interventions.target_update import paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample


class Area(NamedTuple):
    """Pixels, bool (H, W). chosen: of the objects that the edit is about, None where it is about none. region: those that it edits."""

    chosen: Tensor | None
    region: Tensor


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
class Elsewhere:
    """The edit where it touches no object; nothing is removed."""

    edit: RegionEdit

    @property
    def needs(self) -> frozenset[str]:
        return self.edit.needs | {"objects"}

    @property
    def control(self) -> str | None:
        return None

    @property
    def removes_objects(self) -> bool:
        return False

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.edit.stream)
        chosen, region = self.edit.area(sample, stream)
        forbidden = objects(sample) if chosen is None else objects(sample) | chosen
        moved = place_elsewhere(region, forbidden, stream)
        return self.edit.apply(sample, stream, Area(chosen, moved), instead_of=region)
