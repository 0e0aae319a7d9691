"""How often classes and contexts meet in a data set, and whether that is more or less often than by chance.

Normalised pointwise mutual information (Bouma, "Normalized (Pointwise) Mutual Information in Collocation Extraction", GSCL 2009) of two
events: an image shows an object of class c, and it shows context k.

    NPMI(c, k) = ln(p(c, k) / (p(c) p(k))) / -ln p(c, k), in [-1, 1]

1: neither is seen without the other; 0: as often together as by chance; -1: never together. ContextShift (Zlotnikov, Lazarovich, Ben-Shahar
2026, arXiv:2606.09495) scores the compatibility of an object with a background by it; that images are counted, what a context is and which
counts are too few are project choices.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import msgspec

from robustbench_cv.types import Contents, ContextKind

FEWEST = 3
"""Images that hold a class and a context, or that would hold both if these were independent: of fewer nothing is said. Where 3 are to be
expected by chance, none at all is a chance of one in 20 (e^-3), so that "never together" means something (project choice)."""

_ORDER: tuple[ContextKind, ...] = ("declared", "surfaces", "classes")


class Association(msgspec.Struct, frozen=True, dict=True):
    """Images of a data set: all that tell a context, those with each class, with each context, and with each pair that occurs.

    kind: what told the contexts, one thing for the whole data set; None where nothing did.
    """

    kind: ContextKind | None
    images: int
    classes: dict[str, int]
    contexts: dict[str, int]
    pairs: tuple[tuple[str, str, int], ...]

    def npmi(self, of: str, context: str) -> float | None:
        """Of a class and a context. None where either is in no image or both are in all, and where there are too few images to say."""
        with_class, with_context = self.classes.get(of, 0), self.contexts.get(context, 0)
        if not with_class or not with_context or (self.kind == "classes" and of == context):
            return None
        both = self._together.get((of, context), 0)
        by_chance = with_class * with_context / self.images
        if max(both, by_chance) < FEWEST or both == self.images:
            return None
        return -1.0 if not both else math.log(both / by_chance) / -math.log(both / self.images)

    def compatibility(self, objects: Mapping[str, float], contexts: Collection[str]) -> float | None:
        """Of objects with what they stand in: the mean NPMI over the contexts, and of that over the objects, each with its weight.

        Of pairs that something can be said of; None where there is none.
        """
        weighed = [(weight, of_class) for name, weight in objects.items() if (of_class := self._of_class(name, contexts)) is not None]
        total = sum(weight for weight, _ in weighed)
        return sum(weight * value for weight, value in weighed) / total if total else None

    def _of_class(self, name: str, contexts: Collection[str]) -> float | None:
        values = [value for context in sorted(contexts) if (value := self.npmi(name, context)) is not None]
        return sum(values) / len(values) if values else None

    @functools.cached_property
    def _together(self) -> dict[tuple[str, str], int]:
        return {(name, context): n for name, context, n in self.pairs}


def associate(images: Iterable[Contents]) -> Association:
    """Counts over the images of a data set: those whose context is told by the first of the ways that any image's is."""
    every = list(images)
    kind: ContextKind | None = next((kind for kind in _ORDER if any(one.kind == kind for one in every)), None)
    told = [one for one in every if one.kind is not None and one.kind == kind]
    classes = Counter(name for one in told for name in one.objects)
    contexts = Counter(context for one in told for context in one.contexts)
    pairs = Counter(
        (name, context) for one in told for name in one.objects for context in one.contexts if kind != "classes" or name != context
    )
    return Association(kind, len(told), _sorted(classes), _sorted(contexts), tuple((*pair, n) for pair, n in sorted(pairs.items())))


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
