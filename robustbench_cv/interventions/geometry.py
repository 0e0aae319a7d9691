"""Move what a camera sees: rotation, translation, scale and mirroring, with labels, boxes and masks following.

Every pixel moves, so that an edited image and its original are scored on the same objects rather than on the same positions: a pixel that
the picture lost is ignored in both, an object that lost over a quarter of its pixels is a crowd in both, and one that is gone is a crowd in
the original alone. There is no placebo: what moves the whole image has no elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from robustbench_cv.arguments import PositiveNumber, Range
from robustbench_cv.boxes import from_mask
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.affine_map import IDENTITY, AffineMap, Matrix, turn
from robustbench_cv.interventions.fill import GRAY
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import instances, share
from robustbench_cv.interventions.target_update import DAMAGED, ignore_pixels, keep_objects, make_edited, origin
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxTarget, ClassTarget, MaskTarget, Sample, Target

Shift = Annotated[float, Range(-0.5, 0.5, meaning="a share of the image's side")]
Turn = Annotated[float, Range(-180, 180, meaning="degrees")]
Uncovered = Literal["gray", "edge"]
"""What is shown where the moved picture does not reach: grey, or its nearest edge pixel repeated. Label maps ignore it either way."""


@intervention()
def rotate(degrees: Turn = 15.0, fill: Uncovered = "gray") -> Intervention:
    """Turn the image counter-clockwise around its centre. fill: what the corners show, "gray" or "edge". Bilinear; label maps nearest."""
    return Geometry("rotate", turn(degrees), fill=fill)


@intervention()
def translate(right: Shift = 0.1, down: Shift = 0.0, fill: Uncovered = "gray") -> Intervention:
    """Move the image by shares of its sides, rounded to whole pixels. fill: what nothing covers shows, "gray" or "edge"."""
    return Geometry("translate", shift=(right, down), fill=fill)


@intervention()
def rescale(factor: PositiveNumber = 0.8, fill: Uncovered = "gray") -> Intervention:
    """Scale the image about its centre by this factor: below 1 it is framed, above 1 its border is lost. Bilinear, not smoothed.

    fill: what the frame shows, "gray" or "edge".
    """
    return Geometry("rescale", ((1 / factor, 0.0), (0.0, 1 / factor)), fill=fill)


@intervention()
def mirror(direction: Literal["horizontal", "vertical", "both"] = "horizontal") -> Intervention:
    """Flip the image: left to right ("horizontal"), top to bottom ("vertical"), or both, which is half a turn."""
    x, y = (1.0 if direction == other else -1.0 for other in ("vertical", "horizontal"))
    return Geometry("mirror", ((x, 0.0), (0.0, y)))


@dataclass(frozen=True)
class Geometry(Intervention):
    """An affine map of every sample. back: as AffineMap has it. shift: right and down, in shares of the sides."""

    kind: str
    back: Matrix = IDENTITY
    shift: tuple[float, float] = (0.0, 0.0)
    fill: Uncovered = "gray"

    @property
    def control(self) -> str | None:
        """None: what moves the whole image has no elsewhere."""
        return None

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        height, width = sample.image.shape[-2:]
        place = AffineMap(height, width, self.back, round(self.shift[0] * width), round(self.shift[1] * height))
        image = place.image(sample.image)
        if self.fill == "gray":
            image = image.masked_fill(~place.covered, GRAY)
        if torch.equal(image, sample.image):
            raise NotApplicable(f"{self.kind} leaves the image as it is (sample {sample.id})")
        target, before, kept = _targets(sample, place)
        region = torch.ones(height, width, dtype=torch.bool)
        regions = _regions(sample, place, kept)
        return make_edited(sample, self.kind, image, region=region, target=target, before=before, regions=regions, moved=True)


def _targets(sample: Sample, place: AffineMap) -> tuple[Target, Target, list[int]]:
    """The target, `before`, and the indices of the instances that are left."""
    target, before = sample.target, origin(sample)
    kept = list(instances(sample))
    if isinstance(target, BoxTarget) and isinstance(before, BoxTarget):
        return _boxes(sample, target, before, place)
    if isinstance(target, MaskTarget):
        return MaskTarget(place.labels(target.labels)), ignore_pixels(before, ~place.kept), kept
    mask = sample.regions.get("object")
    if isinstance(target, ClassTarget) and mask is not None and _is_damaged(mask, place):
        raise NotApplicable(f"over {DAMAGED:.0%} of the labelled object leaves the image (sample {sample.id})")
    return target, before, kept


def _is_damaged(mask: Tensor, place: AffineMap) -> bool:
    return bool(mask.any()) and share(mask, place.kept) < 1 - DAMAGED


def _boxes(sample: Sample, target: BoxTarget, before: BoxTarget, place: AffineMap) -> tuple[BoxTarget, BoxTarget, list[int]]:
    """The boxes of the moved masks; a box without a mask is moved by its corners, which of a turned one is coarser. Areas change as the
    objects' pixels do."""
    boxes, area, crowd = target.boxes.clone(), target.area.clone(), target.crowd.clone()
    outlines, kept = instances(sample), []
    for k in range(len(boxes)):
        own = sample.regions.get(f"instance:{k}", None if target.masks is None else target.masks[k])
        old = outlines[k] if own is None else own
        new = place.mask(old)
        if not new.any():
            continue
        boxes[k] = place.box(boxes[k]) if own is None else from_mask(new)
        area[k] *= place.enlargement * share(old, place.kept)
        crowd[k] |= _is_damaged(old, place)
        kept.append(k)
    masks = None if target.masks is None else torch.stack([place.mask(mask) for mask in target.masks]) if kept else target.masks
    lost = crowd & ~target.crowd
    whole = before.crowd.clone()
    whole[: len(lost)] |= lost
    moved = BoxTarget(boxes, target.labels, crowd, area, masks)
    return *keep_objects(moved, BoxTarget(before.boxes, before.labels, whole, before.area, before.masks), kept), kept


def _regions(sample: Sample, place: AffineMap, kept: list[int]) -> dict[str, Tensor]:
    """The moved regions; instances numbered as those that are left, and other regions that left the image dropped."""
    number = {k: i for i, k in enumerate(kept)}
    out: dict[str, Tensor] = {}
    for name, mask in sample.regions.items():
        kind, colon, index = name.partition(":")
        moved = place.mask(mask)
        if kind in ("instance", "amodal"):
            if int(index) in number:
                out[f"{kind}{colon}{number[int(index)]}"] = moved
        elif name == "objects" or moved.any():
            out[name] = moved
    return out
