"""Objects that other samples lend, cut out by their masks: what stands in front of another object."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from robustbench_cv.boxes import from_mask
from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.object_selection import MEMBER, share, things
from robustbench_cv.interventions.shapes import pieces
from robustbench_cv.types import BoxTarget, Sample

FEWEST_PX = 32
"""Pixels that an object must have to be lent (project choice): what is smaller shows nothing when it is enlarged."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """An object in its bounding box: image (3, h, w), mask bool (h, w), the name of its class, and its index among the labels of the data's
    boxes (-1 where the data has no boxes)."""

    image: Tensor
    mask: Tensor
    name: str
    label: int

    @property
    def area(self) -> int:
        return int(self.mask.sum())

    def scaled(self, factor: float) -> Cutout:
        """The same at another size; nothing of what was around the object shows."""
        size = [max(1, round(n * factor)) for n in self.mask.shape]
        if size == list(self.mask.shape):
            return self
        weight = self.mask.to(self.image.dtype)
        layers = torch.cat([self.image * weight, weight[None]])[None]
        resized = interpolate(layers, size=size, mode="bilinear", align_corners=False, antialias=True)[0]
        mask = resized[3] >= 0.5
        return Cutout((resized[:3] / resized[3].clamp(min=1e-6)).clamp(0, 1), mask, self.name, self.label)


def class_of(mask: Tensor, known: Mapping[str, Tensor]) -> str | None:
    """The name of the class, of those whose pixels are known, of which at least half of a mask is; None where they do not tell."""
    shares = {name: share(mask, pixels) for name, pixels in known.items()}
    best = max(shares, key=lambda name: shares[name], default=None)
    return best if best is not None and shares[best] >= MEMBER else None


def cutouts(donor: Sample) -> list[Cutout]:
    """The donor's objects with a mask, a class and at least 32 pixels, the largest first. Boxes are no masks, and crowds no objects.

    Where no object is annotated by itself, each connected piece of a class counts as one.
    """
    if donor.attributes.get("masks") == "boxes":
        return []
    known = things(donor)
    masks = {int(name[9:]): donor.regions[name] for name in donor.regions if name.startswith("instance:")}
    target = donor.target if isinstance(donor.target, BoxTarget) else None
    if target is not None:
        labels = {k: int(target.labels[k]) for k in masks if k < len(target.labels) and not target.crowd[k]}
        apart = [(masks[k], label) for k, label in sorted(labels.items())]
    elif masks:
        apart = [(mask, -1) for _, mask in sorted(masks.items())]
    elif "object" in donor.regions:
        apart = [(donor.regions["object"], -1)]
    else:
        apart = [(piece, -1) for mask in known.values() for piece in pieces(mask)]
    lent = [
        _cut(donor, mask, name, label)
        for mask, label in apart
        if int(mask.sum()) >= FEWEST_PX and (name := class_of(mask, known)) is not None
    ]
    return sorted(lent, key=lambda one: -one.area)


def _cut(donor: Sample, mask: Tensor, name: str, label: int) -> Cutout:
    x1, y1, x2, y2 = (int(v) for v in from_mask(mask))
    return Cutout(donor.image[:, y1:y2, x1:x2], mask[y1:y2, x1:x2], name, label)


class Loan:
    """What donors lend to one sample, in an order that its id and the seed decide, read when it is asked for."""

    def __init__(self, donors: Donors, sample: Sample, seed: int) -> None:
        self._id, self._donors = sample.id, donors.lend(sample, seed, lambda there: True)
        self._lent: list[Cutout] = []
        self._used: set[int] = set()

    def offers(self, avoid: Collection[str]) -> Iterator[Cutout]:
        """Objects of other classes than these: those that were not taken first, then the others again."""
        for again in (False, True):
            for i, one in self._every():
                if (i in self._used) == again and one.name not in avoid:
                    yield one

    def take(self, taken: Cutout) -> None:
        """Remember that this one is shown."""
        self._used.add(next(i for i, one in enumerate(self._lent) if one is taken))

    def require(self, avoid: Collection[str]) -> None:
        """NotApplicable where nobody lends anything that fits."""
        if next(self.offers(avoid), None) is not None:
            return
        if self._lent:
            raise NotApplicable(f"no donor lends an object of another class than {', '.join(sorted(avoid))} (for sample {self._id})")
        raise NotApplicable(
            f"no donor has an object that can be cut out: one with a mask, a class and {FEWEST_PX} pixels (for sample {self._id}); boxes "
            "alone cut out no object"
        )

    def _every(self) -> Iterator[tuple[int, Cutout]]:
        i = 0
        while i < len(self._lent) or self._read():
            yield i, self._lent[i]
            i += 1

    def _read(self) -> bool:
        """One more donor that lends something; False where there is none."""
        for donor in self._donors:
            lent = cutouts(donor)
            if lent:
                self._lent += lent
                return True
        return False
