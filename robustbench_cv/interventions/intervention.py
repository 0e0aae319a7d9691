"""The contract of an intervention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from robustbench_cv.interventions.donors import Donors
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample


class Intervention(Protocol):
    """A model-independent edit: returns a new Sample, its target and `edit` updated; the input is left as it was.

    Pixels outside `edit.region` stay bit-identical. Deterministic for each sample id (all randomness from `noise`, whose only id is the
    sample's). Raises NotApplicable(reason) for a sample that it cannot serve.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Region names it requires, for documentation ("class:car", "objects"). Bundled edits inherit that there are none."""
        return frozenset()

    @property
    def control(self) -> str | None:
        """Spec of the placebo: the same edit where no object is. None, which bundled edits inherit, for one that has none or is one."""
        return None

    @property
    def removes_objects(self) -> bool:
        """Whether its purpose is to take objects away, so that a model that still reports them hallucinates.

        False, which bundled edits inherit, for a placebo, and for edits that cover a part of an object or change what is behind it.
        """
        return False

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample: ...


@runtime_checkable
class ReadsFiles(Protocol):
    """An intervention that takes material from files: a run's records depend on their bytes."""

    @property
    def files(self) -> Sequence[Path]: ...


@runtime_checkable
class NeedsDonors(Protocol):
    """An intervention that takes material (backgrounds) from other samples, of the whole data set, however few of it a run looks at.

    The runner hands them over once, before the first call; whatever is taken comes from the sample's candidates among them.
    """

    def with_donors(self, donors: Donors) -> Intervention: ...


@runtime_checkable
class SurveysDonors(NeedsDonors, Protocol):
    """An intervention that may choose by which classes occur together in the data set (`Donors.co_occurrence`).

    surveys: whether this one does: a run's records then depend on the samples that were counted.
    """

    @property
    def surveys(self) -> bool: ...
