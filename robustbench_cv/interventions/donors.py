"""Other samples that lend a background: which one serves a sample depends on the two ids and the seed, not on the donors' order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from robustbench_cv.errors import BadSample
from robustbench_cv.interventions.object_selection import main_class
from robustbench_cv.noise import Noise
from robustbench_cv.types import Dataset, Sample

MOST_TRIED = 64
"""Donors that are looked at before a sample counts as not applicable."""


@dataclass(frozen=True)
class Setting:
    """Where a sample was taken, or failing that what it mostly shows; None where nothing tells."""

    context: str | None
    main: str | None

    @classmethod
    def of(cls, sample: Sample) -> Setting:
        return cls(sample.attributes.get("context"), main_class(sample))

    def suits(self, to: str, donor: Setting) -> bool:
        """Whether a donor's setting is the wanted one: `to` is "same", "random" or "context:<name>".

        Contexts are compared where both are known; where not, "same" means a donor whose main class is the same ("Mixed-Same" of
        Xiao et al., ICLR 2021, arXiv:2006.09994) and "random" any other sample ("Mixed-Rand").
        """
        if to.startswith("context:"):
            return donor.context == to.removeprefix("context:")
        if self.context is not None and donor.context is not None:
            return (self.context == donor.context) == (to == "same")
        return to == "random" or (self.main is not None and self.main == donor.main)


@dataclass(frozen=True, eq=False)
class Donors:
    """Samples to borrow from, read one at a time. `seen` remembers their settings, so that few are read twice."""

    source: Sequence[Sample] | Dataset
    seen: dict[int, Setting] = field(default_factory=dict, repr=False)

    def ranked(self, sample: Sample, noise: Noise, wanted: Callable[[Setting], bool]) -> Iterator[Sample]:
        """Of the 64 other samples whose ids' hashes rank first, those of a wanted setting; unreadable ones are passed over."""
        ids = self._ids()
        ranks = ((Noise(noise.seed, (f"{sample.id}\x00{id_}",), noise.purpose).key(), i) for i, id_ in enumerate(ids) if id_ != sample.id)
        for _, i in heapq.nsmallest(MOST_TRIED, ranks):
            if i in self.seen and not wanted(self.seen[i]):
                continue
            try:
                donor = self.source[i]
            except BadSample:
                continue  # an unusable file is reported where it is a sample of its own
            self.seen[i] = Setting.of(donor)
            if wanted(self.seen[i]):
                yield donor

    def _ids(self) -> Sequence[str]:
        if isinstance(self.source, Sequence):
            return [donor.id for donor in self.source]
        return self.source.ids
