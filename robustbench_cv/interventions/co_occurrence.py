"""How often two classes stand in one image: normalised pointwise mutual information, counted over images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

Together = Literal["often", "rarely", "unknown"]

FEWEST = 1.0
"""Images that two classes would share if they were independent, below which nothing is made of their sharing fewer (project choice)."""


@dataclass(frozen=True)
class CoOccurrence:
    """Counts over `images` images: in how many each class is, and in how many each pair of classes, its names rising."""

    images: int
    single: Counter[str]
    pairs: Counter[tuple[str, str]]

    @classmethod
    def of(cls, classes_by_image: Iterable[Collection[str]]) -> CoOccurrence:
        """From the class names of each image.

        >>> counts = CoOccurrence.of([{"car", "road"}, {"car", "road"}, {"boat"}, {"boat", "sea"}])
        >>> counts.npmi("car", "road"), counts.npmi("car", "boat"), counts.npmi("boat", "sea")
        (1.0, -1.0, 0.5)
        """
        images, single, pairs = 0, Counter[str](), Counter[tuple[str, str]]()
        for names in classes_by_image:
            images += 1
            single.update(set(names))
            pairs.update(combinations(sorted(set(names)), 2))
        return cls(images, single, pairs)

    def npmi(self, a: str, b: str) -> float | None:
        """ln(p(a, b) / (p(a) p(b))) / -ln p(a, b), in [-1, 1]: -1 never together, 0 as if independent, 1 never apart.

        None where one of the two was never seen, or is all that was seen (p(a, b) = 1).
        """
        alone = self.single[a], self.single[b]
        together = self.pairs[min(a, b), max(a, b)] if a != b else self.single[a]
        if not all(alone) or together == self.images:
            return None
        if not together:
            return -1.0
        return math.log(together * self.images / (alone[0] * alone[1])) / -math.log(together / self.images)

    def together(self, name: str, others: Collection[str]) -> Together:
        """Whether a class stands with those of an image more often than by chance with one of them, or more rarely with all.

        "unknown" where a pair is too rare for its sharing no image to mean anything, or none is known.
        """
        values = {other: self.npmi(name, other) for other in others}
        if any(value is not None and value > 0 for value in values.values()):
            return "often"
        expected = [self.single[name] * self.single[other] / self.images if self.images else 0.0 for other in others]
        if not values or None in values.values() or min(expected) < FEWEST:
            return "unknown"
        return "rarely" if all(value is not None and value < 0 for value in values.values()) else "unknown"
