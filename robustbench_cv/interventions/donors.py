"""Other samples that lend a background: which one serves a sample depends on the two ids and the seed, not on the donors' order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from robustbench_cv.errors import BadSample
from robustbench_cv.noise import Noise
from robustbench_cv.types import Dataset, Sample

MOST_TRIED = 64
"""Donors that are looked at before a sample counts as not applicable."""


@dataclass(frozen=True, eq=False)
class Donors:
    """Samples to borrow from, read one at a time."""

    source: Sequence[Sample] | Dataset

    def ranked(self, sample: Sample, noise: Noise) -> Iterator[Sample]:
        """Up to 64 other samples, the best match of the ids' hashes first; unreadable ones are passed over."""
        ids = self._ids()
        ranks = ((Noise(noise.seed, (f"{sample.id}\x00{id_}",), noise.purpose).key(), i) for i, id_ in enumerate(ids) if id_ != sample.id)
        for _, i in heapq.nsmallest(MOST_TRIED, ranks):
            try:
                donor = self.source[i]
            except BadSample:
                continue  # an unusable file is reported where it is a sample of its own
            yield donor

    def _ids(self) -> Sequence[str]:
        if isinstance(self.source, Sequence):
            return [donor.id for donor in self.source]
        return self.source.ids
