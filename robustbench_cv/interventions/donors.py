"""Other samples that lend a background: which one serves a sample depends on the ids and the seed, not on the donors' order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy

from robustbench_cv.errors import BadSample
from robustbench_cv.interventions.co_occurrence import CoOccurrence
from robustbench_cv.interventions.object_selection import main_class, things
from robustbench_cv.noise import Noise
from robustbench_cv.types import Dataset, Sample

MOST_TRIED = 64
"""Donors that are looked at before a sample counts as not applicable."""

MOST_SURVEYED = 1000
"""Samples by which a data set is known as a whole (project choice): with all of a large one, every run would read it once more."""


@dataclass(frozen=True)
class Setting:
    """Where a sample was taken, or failing that what it mostly shows; None where nothing tells."""

    context: str | None
    main: str | None

    @classmethod
    def of(cls, sample: Sample) -> Setting:
        return cls(sample.attributes.get("context"), main_class(sample))

    def suits(self, to: str, donor: Setting, order: Sequence[str] = ()) -> bool:
        """Whether a donor's setting is the wanted one: `to` is "same", "random", "next", "any" or "context:<name>".

        "next" means a donor whose main class is the next one in `order`, the first after the last ("Mixed-Next"); "any", every other
        sample.

        Contexts are compared where both are known; where not, "same" means a donor whose main class is the same ("Mixed-Same" of
        Xiao et al., ICLR 2021, arXiv:2006.09994) and "random" any other sample ("Mixed-Rand").
        """
        if to.startswith("context:"):
            return donor.context == to.removeprefix("context:")
        if to == "any":
            return True
        if to == "next":
            return self.main in order and donor.main == order[(order.index(self.main) + 1) % len(order)]
        if self.context is not None and donor.context is not None:
            return (self.context == donor.context) == (to == "same")
        return to == "random" or (self.main is not None and self.main == donor.main)


@dataclass(frozen=True, eq=False)
class Donors:
    """Samples to borrow from, read one at a time. `settings` remembers theirs by position, so that few are read twice;
    `choices`, what edits chose of them, by what the choice depends on.

    Share one among all cells of a data set: its ids are hashed once.
    """

    source: Sequence[Sample] | Dataset
    settings: dict[int, Setting] = field(default_factory=dict, repr=False)
    choices: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    _fingerprints: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def lend(self, sample: Sample, seed: int, wanted: Callable[[Setting], bool]) -> Iterator[Sample]:
        """Of the sample's candidates, those of a wanted setting; unreadable ones are passed over."""
        for i in self.candidates(sample.id, seed):
            if i in self.settings and not wanted(self.settings[i]):
                continue
            try:
                donor = self.source[i]
            except BadSample:
                continue  # an unusable file is reported where it is a sample of its own
            self.settings[i] = Setting.of(donor)
            if wanted(self.settings[i]):
                yield donor

    def sample(self, id_: str) -> Sample:
        """A donor by its id."""
        return self.source[self._positions[id_]]

    def candidates(self, sample_id: str, seed: int) -> list[int]:
        """Positions of the up to 64 other samples that may lend to this one, in the order in which they are tried.

        The ids' hashes lie on a ring, on which random points of the sample's own choose the next ids (consistent hashing, Karger et al.,
        STOC 1997); a hash of both ids and the seed ranks them. So a choice depends on ids and seed alone, a donor that is added or lost
        moves few choices, and one costs no more among a million ids than among a thousand.
        """
        hashes, positions = self._ring
        if not len(hashes):
            return []
        points = Noise(seed, (sample_id,), "donors").rng().integers(0, 2**64, 4 * MOST_TRIED, dtype=numpy.uint64)
        next_ids = numpy.searchsorted(hashes, points)
        # Among few ids the points miss some: the first one's neighbours follow.
        neighbours = next_ids[0] + numpy.arange(min(len(hashes), MOST_TRIED + 1))
        order = positions[numpy.concatenate([next_ids, neighbours]) % len(hashes)]
        others = [i for i in dict.fromkeys(order.tolist()) if self._ids[i] != sample_id][:MOST_TRIED]
        return sorted(others, key=lambda i: Noise(seed, (f"{sample_id}\x00{self._ids[i]}",), "donors").key())

    def survey(self) -> list[int]:
        """Positions of up to 1000 samples that stand for the whole data set: the same whichever sample asks, drawn by the ids' hashes."""
        positions: list[int] = self._ring[1][:MOST_SURVEYED].tolist()
        return positions

    def fingerprints(self, sample_ids: Iterable[str], seed: int, *, surveyed: bool = False) -> list[tuple[str, str]]:
        """(id, fingerprint) of every sample that may lend to one of these, by id: what their edits depend on. Each is read once.

        surveyed: also of those that `co_occurrence` is counted on.
        """
        assert not isinstance(self.source, Sequence), "a list of samples has no fingerprints"
        candidates = {i for id_ in sample_ids for i in self.candidates(id_, seed)} | set(self.survey() if surveyed else ())
        self._fingerprints.update({i: self.source.fingerprint(i) for i in candidates - self._fingerprints.keys()})
        return sorted((self._ids[i], self._fingerprints[i]) for i in candidates)

    @cached_property
    def co_occurrence(self) -> CoOccurrence:
        """Which classes of objects stand in one image, counted over `survey`; unreadable samples are passed over."""
        return CoOccurrence.of(names for i in self.survey() if (names := self._class_names(i)) is not None)

    def _class_names(self, index: int) -> frozenset[str] | None:
        try:
            return frozenset(name for name, mask in things(self.source[index]).items() if bool(mask.any()))
        except BadSample:
            return None

    @cached_property
    def class_order(self) -> tuple[str, ...]:
        """The data set's classes in the order of its labels; of a list of samples, by name those that its objects have."""
        if not isinstance(self.source, Sequence):
            return self.source.labels.names
        return tuple(sorted({main for main in (Setting.of(sample).main for sample in self.source) if main is not None}))

    @cached_property
    def _ids(self) -> Sequence[str]:
        return [donor.id for donor in self.source] if isinstance(self.source, Sequence) else self.source.ids

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {id_: i for i, id_ in enumerate(self._ids)}

    @cached_property
    def _ring(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The ids' hashes in ascending order, uint64 (N,), and the ids' positions in that order, int64 (N,)."""
        hashes = numpy.array([int.from_bytes(blake2b(i.encode(), digest_size=8).digest(), "big") for i in self._ids], dtype=numpy.uint64)
        order = numpy.argsort(hashes, kind="stable")
        return hashes[order], order
