"""Annotated objects of one image, whatever file they come from: boxes, labels, crowds, and masks that are drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy
import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.data import polygons, rle
from robustbench_cv.data.lazy_masks import LazyMasks
from robustbench_cv.types import BoxTarget, Labels


@dataclass(frozen=True, eq=False)
class Polygons:
    """Closed polygons, each float64 (P, 2), whose union is the object."""

    corners: tuple[numpy.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Runs:
    """Run lengths of the object's mask."""

    lengths: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Pixels:
    """The object's mask itself, bool (H, W)."""

    mask: Tensor


Shape: TypeAlias = Polygons | Runs | Pixels | None
"""An object's outline; None where only its box is known, which then stands for it."""


@dataclass(frozen=True, eq=False)
class AnnotatedObject:
    """A checked annotation: box (x1, y1, x2, y2) inside the image, class index."""

    box: tuple[float, float, float, float]
    label: int
    crowd: bool
    area: float | None
    shape: Shape


@dataclass(frozen=True, eq=False)
class AnnotatedObjects:
    """All objects of one image, in the order of the file."""

    objects: Sequence[AnnotatedObject]
    labels: Labels
    height: int
    width: int

    def target(self, *, masks: bool = False) -> BoxTarget:
        """Boxes, labels, crowd; the annotated areas, or those of the masks where none are given; masks if asked for and all known."""
        every = self.objects
        return BoxTarget(
            torch.tensor([o.box for o in every], dtype=torch.float32).reshape(-1, 4),
            torch.tensor([o.label for o in every], dtype=torch.int64),
            torch.tensor([o.crowd for o in every], dtype=torch.bool),
            torch.tensor([float(self.mask(o).sum()) if o.area is None else o.area for o in every], dtype=torch.float32),
            self.masks() if masks and all(o.shape is not None for o in every) else None,
        )

    def masks(self) -> Tensor:
        """The pixels of every object, bool (M, H, W)."""
        drawn = [self.mask(o) for o in self.objects]
        return torch.stack(drawn) if drawn else torch.zeros(0, self.height, self.width, dtype=torch.bool)

    def regions(self) -> LazyMasks:
        """ "objects" (crowds too), "class:<name>" (without crowds) and "instance:<k>" in the order of the target."""
        classes = sorted({o.label for o in self.objects if not o.crowd})
        names = ["objects", *(f"class:{self.labels.names[c]}" for c in classes), *(f"instance:{k}" for k in range(len(self.objects)))]
        return LazyMasks(tuple(names), self.region)

    def region(self, name: str) -> Tensor:
        """The bool mask (H, W) of a region."""
        kind, _, which = name.partition(":")
        if kind == "instance":
            return self.mask(self.objects[int(which)])
        wanted = self.objects if kind == "objects" else [o for o in self.objects if not o.crowd and self.labels.names[o.label] == which]
        union = torch.zeros(self.height, self.width, dtype=torch.bool)
        for item in wanted:
            union |= self.mask(item)
        return union

    def mask(self, item: AnnotatedObject) -> Tensor:
        """The object's pixels, bool (H, W); its box's where no outline is known."""
        if isinstance(item.shape, Polygons):
            return polygons.rasterize(item.shape.corners, self.height, self.width)
        if isinstance(item.shape, Runs):
            return rle.decode(item.shape.lengths, self.height, self.width)
        if isinstance(item.shape, Pixels):
            return item.shape.mask
        return boxes.to_mask(torch.tensor(item.box), self.height, self.width)
