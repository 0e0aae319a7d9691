"""Edits that take material from other samples: how the runner hands the samples to them and to their placebos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.placebo import Area, Elsewhere
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample


class BorrowingEdit(Protocol):
    """An edit of a region (see `RegionEdit`) that can be lent samples. It has no `with_donors`: not every edit of its kind borrows."""

    @property
    def needs(self) -> frozenset[str]: ...
    @property
    def control(self) -> str | None: ...
    @property
    def removes_objects(self) -> bool: ...
    @property
    def context_facts(self) -> ContextFacts: ...
    @property
    def stream(self) -> str: ...
    def lent(self, donors: Donors) -> BorrowingEdit:
        """The same, with these samples to take from."""
        ...

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample: ...
    def area(self, sample: Sample, noise: Noise, /) -> Area: ...
    def apply(self, sample: Sample, noise: Noise, area: Area, /, *, instead_of: Tensor | None = None) -> Sample: ...


@dataclass(frozen=True)
class Borrowing:
    """The edit, which needs donors."""

    edit: BorrowingEdit

    @property
    def needs(self) -> frozenset[str]:
        return self.edit.needs

    @property
    def control(self) -> str | None:
        return self.edit.control

    @property
    def removes_objects(self) -> bool:
        return self.edit.removes_objects

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        return self.edit.context_facts

    def with_donors(self, donors: Donors) -> Borrowing:
        """The same, with these samples' objects."""
        return Borrowing(self.edit.lent(donors))

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        return self.edit(sample, noise)


@dataclass(frozen=True)
class BorrowingElsewhere(Intervention):
    """The edit's placebo (see `Elsewhere`), with the same material."""

    edit: BorrowingEdit

    @property
    def needs(self) -> frozenset[str]:
        return Elsewhere(self.edit).needs

    def with_donors(self, donors: Donors) -> BorrowingElsewhere:
        """The same, with these samples' objects."""
        return BorrowingElsewhere(self.edit.lent(donors))

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        return Elsewhere(self.edit)(sample, noise)
