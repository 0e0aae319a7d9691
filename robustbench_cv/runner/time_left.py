"""How long the cells of a run that are left will take: by what their like took so far, and by an estimate where none has been made yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Kind(NamedTuple):
    """Cells that take alike: a model on a data set under a condition."""

    model: str
    dataset: str
    condition: str


@dataclass(eq=False)
class TimeLeft:
    """waiting: samples of each kind that are still to be computed. guessed: seconds that a sample of a kind takes, where that was timed.

    A kind that nothing is known of takes as long as the same condition took with other models, or else as all samples did so far.
    """

    waiting: dict[Kind, int]
    guessed: Mapping[Kind, float] = field(default_factory=dict)
    _seconds: dict[Kind, float] = field(default_factory=lambda: defaultdict(float))
    _samples: dict[Kind, int] = field(default_factory=lambda: defaultdict(int))

    def finish(self, kind: Kind, samples: int, seconds: float) -> None:
        """So many samples of a kind were computed in so many seconds of this run's time."""
        self.waiting[kind] -= samples
        self._samples[kind] += samples
        self._seconds[kind] += seconds

    @property
    def seconds(self) -> float | None:
        """None before anything is known."""
        if not self._samples and not self.guessed:
            return None
        return sum(n * self._a_sample(kind) for kind, n in self.waiting.items() if n > 0)

    def _a_sample(self, kind: Kind) -> float:
        if self._samples.get(kind):
            return self._seconds[kind] / self._samples[kind]
        if kind in self.guessed:
            return self.guessed[kind] * self._slower
        alike = self._mean(other for other in self._samples if other.condition == kind.condition)
        return alike if alike is not None else self._mean(self._samples) or 0.0

    @property
    def _slower(self) -> float:
        """By what factor the kinds that were guessed took longer than guessed."""
        known = [kind for kind in self._samples if kind in self.guessed]
        guessed = sum(self.guessed[kind] * self._samples[kind] for kind in known)
        return sum(self._seconds[kind] for kind in known) / guessed if guessed else 1.0

    def _mean(self, kinds: Iterable[Kind]) -> float | None:
        """Seconds a sample over some kinds; None where there are none."""
        chosen = list(kinds)
        samples = sum(self._samples[kind] for kind in chosen)
        return sum(self._seconds[kind] for kind in chosen) / samples if samples else None
