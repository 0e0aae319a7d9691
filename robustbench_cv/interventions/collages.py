"""Cut-out objects laid over an image, one on top of the other, and what they mean for the targets of each task."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robustbench_cv.boxes import from_mask
from robustbench_cv.interventions.cutout_placing import Placed
from robustbench_cv.interventions.cutouts import Cutout
from robustbench_cv.interventions.placebo import Collage
from robustbench_cv.types import BoxTarget, Sample, Target


@dataclass(eq=False)
class Layers:
    """A collage in the making: each object is put on top of those before it."""

    image: Tensor
    owner: Tensor
    objects: list[Cutout] = field(default_factory=list)

    @classmethod
    def over(cls, image: Tensor) -> Layers:
        """Nothing yet, over (3, H, W)."""
        return cls(image.clone(), torch.full(image.shape[-2:], -1))

    @property
    def region(self) -> Tensor:
        """Every pixel that shows an object: bool (H, W)."""
        return self.owner >= 0

    def where(self, placed: Placed, room: Tensor) -> Tensor:
        """The pixels that an object would show there, bool (H, W): inside the image and the room."""
        out = torch.zeros_like(room)
        (rows, columns), (inner_rows, inner_columns) = _windows(placed, room)
        out[rows, columns] = placed.cutout.mask[inner_rows, inner_columns]
        return out & room

    def put(self, placed: Placed, room: Tensor) -> Tensor:
        """The object is shown, inside the image and the room: the pixels of it, bool (H, W)."""
        shown = self.where(placed, room)
        (rows, columns), (inner_rows, inner_columns) = _windows(placed, room)
        pixels = placed.cutout.image[:, inner_rows, inner_columns].to(self.image.dtype)
        self.image[:, rows, columns] = torch.where(shown[rows, columns], pixels, self.image[:, rows, columns])
        self.owner[shown] = len(self.objects)
        self.objects.append(placed.cutout)
        return shown

    def done(self) -> Collage:
        return Collage(self.image, self.owner, tuple(self.objects))


def _windows(placed: Placed, room: Tensor) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The rows and columns of the image that an object's bounding box takes, and the same of the box."""
    ends = [
        (max(at, 0), min(at + n, most), at)
        for at, n, most in zip((placed.top, placed.left), placed.cutout.mask.shape, room.shape, strict=True)
    ]
    outer, inner = [slice(a, max(a, b)) for a, b, _ in ends], [slice(a - at, max(a, b) - at) for a, b, at in ends]
    return (outer[0], outer[1]), (inner[0], inner[1])


def with_occluders(
    sample: Sample, targets: tuple[Target, Target], regions: dict[str, Tensor], collage: Collage, region: Tensor
) -> tuple[tuple[Target, Target], dict[str, Tensor]]:
    """Target, `before` and regions with what a collage shows in a region, bool (H, W), of real objects that nobody is asked about.

    Detection: each is a crowd of its own class in both images, so that who reports it is neither right nor wrong, and nobody misses it
    (project choice). They are objects, so that later edits know them. Other targets stay: a label map ignores the pixels already.
    """
    shown = [(region & (collage.owner == k), one.label) for k, one in enumerate(collage.objects)]
    shown = [(mask, label) for mask, label in shown if mask.any()]
    if "objects" in regions:
        regions = regions | {"objects": regions["objects"] | region}
    numbered = [int(name[9:]) for name in regions if name.startswith("instance:")]
    if numbered or isinstance(sample.target, BoxTarget):
        first = len(sample.target.boxes) if isinstance(sample.target, BoxTarget) else max(numbered) + 1
        regions = regions | {f"instance:{first + i}": mask for i, (mask, _) in enumerate(shown)}
    target, before = targets
    if shown and isinstance(target, BoxTarget) and isinstance(before, BoxTarget):
        n = len(target.boxes)
        target, before = _with_crowds(target, n, shown), _with_crowds(before, n, shown)
    return (target, before), regions


def _with_crowds(target: BoxTarget, position: int, shown: list[tuple[Tensor, int]]) -> BoxTarget:
    """The target with crowds, given as masks and labels, before the object at a position."""
    masks = torch.stack([mask for mask, _ in shown])
    more = BoxTarget(
        torch.stack([from_mask(mask) for mask in masks]).to(target.boxes.dtype),
        torch.tensor([label for _, label in shown], dtype=target.labels.dtype),
        torch.ones(len(shown), dtype=torch.bool),
        masks.flatten(1).sum(dim=1).to(target.area.dtype),
        None if target.masks is None else masks,
    )
    parts = ("boxes", "labels", "crowd", "area", *(() if target.masks is None else ("masks",)))
    mixed = {name: torch.cat([getattr(target, name)[:position], getattr(more, name), getattr(target, name)[position:]]) for name in parts}
    return replace(target, **mixed)
