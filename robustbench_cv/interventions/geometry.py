"""Move what a camera sees: rotation, translation, scale and mirroring, with labels, boxes and masks following.

Every pixel moves, so that an edited image and its original are scored on the same objects rather than on the same positions: a pixel that
the picture lost is ignored in both, an object that lost over a quarter of its pixels is a crowd in both, and one that is gone is a crowd in
the original alone. There is no placebo: what moves the whole image has no elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from robustbench_cv.arguments import PositiveNumber, Range
from robustbench_cv.boxes import clip, from_mask
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.fill import GRAY
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import instances
from robustbench_cv.interventions.target_update import DAMAGED, make_edited, origin
from robustbench_cv.noise import Noise
from robustbench_cv.types import IGNORE, BoxTarget, ClassTarget, MaskTarget, Sample, Target

Shift = Annotated[float, Range(-0.5, 0.5, meaning="a share of the image's side")]
Turn = Annotated[float, Range(-180, 180, meaning="degrees")]


@intervention()
def rotate(degrees: Turn = 15.0) -> Intervention:
    """Turn the image counter-clockwise around its centre; corners that nothing covers are grey. Bilinear; label maps nearest."""
    angle = math.radians(degrees)
    return Geometry("rotate", ((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))), (0.0, 0.0))


@intervention()
def translate(right: Shift = 0.1, down: Shift = 0.0) -> Intervention:
    """Move the image by shares of its sides, whole pixels; what nothing covers is grey."""
    return Geometry("translate", ((1.0, 0.0), (0.0, 1.0)), (right, down))


@intervention()
def rescale(factor: PositiveNumber = 0.8) -> Intervention:
    """Scale the image about its centre by this factor: below 1 it is framed in grey, above 1 its border is lost. Bilinear, not smoothed."""
    return Geometry("rescale", ((1 / factor, 0.0), (0.0, 1 / factor)), (0.0, 0.0))


@intervention()
def mirror() -> Intervention:
    """Turn the image left to right."""
    return Geometry("mirror", ((-1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))


@dataclass(frozen=True)
class Geometry:
    """An affine map. back: from a new pixel's offset from the centre, in pixels (x, y), to the old one's. shift: shares of the sides."""

    kind: str
    back: tuple[tuple[float, float], tuple[float, float]]
    shift: tuple[float, float]

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    @property
    def control(self) -> str | None:
        return None

    @property
    def removes_objects(self) -> bool:
        return False

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        height, width = sample.image.shape[-2:]
        grid = self._grid(height, width)
        covered = _sampled(torch.ones(1, height, width), grid, "nearest")[0] > 0.5
        moved = _sampled(sample.image, grid, "bilinear")
        image = torch.where(covered, moved, GRAY).clamp(0, 1).to(sample.image.dtype)
        if torch.equal(image, sample.image):
            raise NotApplicable(f"{self.kind} leaves the image as it is (sample {sample.id})")
        regions = {name: _mask(mask, grid) & covered for name, mask in sample.regions.items()}
        target, before = self._targets(sample, grid, covered)
        if isinstance(target, BoxTarget):
            regions = _renumbered(sample, target, regions)
        region = torch.ones(height, width, dtype=torch.bool)
        return make_edited(sample, self.kind, image, region=region, target=target, before=before, regions=regions)

    def _grid(self, height: int, width: int) -> Tensor:
        """Where each new pixel is taken from, as grid_sample has it: (1, H, W, 2)."""
        (a, b), (c, d) = self.back
        dx, dy = round(self.shift[0] * width), round(self.shift[1] * height)
        # in grid_sample's coordinates, where each side goes from -1 to 1
        theta = torch.tensor([[a, b * height / width, -2 * dx / width], [c * width / height, d, -2 * dy / height]], dtype=torch.float64)
        return affine_grid(theta[None], [1, 1, height, width], align_corners=False)

    def _targets(self, sample: Sample, grid: Tensor, covered: Tensor) -> tuple[Target, Target]:
        target, before = sample.target, origin(sample)
        if isinstance(target, MaskTarget) and isinstance(before, MaskTarget):
            labels = _labels(target.labels, grid).masked_fill(~covered, IGNORE)
            kept = _kept_pixels(grid, covered)
            return MaskTarget(labels), MaskTarget(before.labels.masked_fill(~kept, IGNORE))
        if isinstance(target, BoxTarget) and isinstance(before, BoxTarget):
            return self._boxes(sample, target, before, grid, covered)
        if isinstance(target, ClassTarget) and "object" in sample.regions:
            mask = sample.regions["object"]
            if int((_mask(mask, grid) & covered).sum()) < (1 - DAMAGED) * _expected(mask, self.back):
                raise NotApplicable(f"over {DAMAGED:.0%} of the labelled object leaves the image (sample {sample.id})")
        return target, before

    def _boxes(self, sample: Sample, target: BoxTarget, before: BoxTarget, grid: Tensor, covered: Tensor) -> tuple[BoxTarget, BoxTarget]:
        """The boxes of the moved masks; those that stand for a mask are moved by their corners, which of a turned box is coarser."""
        masks, rows, kept, crowd = instances(sample), [], [], target.crowd.clone()
        for k, mask in masks.items():
            if k >= len(target.boxes):
                break
            there = _mask(mask, grid) & covered
            if not there.any():
                continue
            known = f"instance:{k}" in sample.regions
            rows.append(from_mask(there) if known else self._corners(target.boxes[k], *covered.shape))
            kept.append(k)
            crowd[k] |= int(there.sum()) < (1 - DAMAGED) * _expected(mask, self.back)
        index = torch.tensor(kept, dtype=torch.long)
        boxes = torch.stack(rows).float() if rows else torch.zeros(0, 4)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        made = BoxTarget.of(boxes, target.labels[index], crowd[index], area)
        gone = torch.ones(len(before.boxes), dtype=torch.bool)
        gone[index] = False
        order = torch.cat([index, gone.nonzero()[:, 0]])
        whole = before.select(order)
        lost = torch.cat([crowd[index], torch.ones(int(gone.sum()), dtype=torch.bool)])
        return made, BoxTarget(whole.boxes, whole.labels, whole.crowd | lost, whole.area, whole.masks)

    def _corners(self, box: Tensor, height: int, width: int) -> Tensor:
        """The tight box of a moved box: (4,)."""
        x1, y1, x2, y2 = (float(v) for v in box)
        corners = torch.tensor([[x, y] for x in (x1, x2) for y in (y1, y2)], dtype=torch.float64)
        centre = torch.tensor([width / 2, height / 2], dtype=torch.float64)
        forth = torch.linalg.inv(torch.tensor(self.back, dtype=torch.float64))
        shift = torch.tensor([round(self.shift[0] * width), round(self.shift[1] * height)], dtype=torch.float64)
        moved = (corners - centre) @ forth.T + centre + shift
        return clip(torch.cat([moved.min(dim=0).values, moved.max(dim=0).values])[None], height, width)[0]


def _expected(mask: Tensor, back: tuple[tuple[float, float], tuple[float, float]]) -> float:
    """Pixels that a mask would have if none were lost."""
    (a, b), (c, d) = back
    return float(mask.sum()) / abs(a * d - b * c)


def _sampled(planes: Tensor, grid: Tensor, mode: str) -> Tensor:
    """(C, H, W) at the grid's places; 0 outside, and border pixels where bilinear reaches half a pixel over the edge."""
    padding = "zeros" if mode == "nearest" else "border"
    return grid_sample(planes[None].double(), grid, mode=mode, padding_mode=padding, align_corners=False)[0]


def _mask(mask: Tensor, grid: Tensor) -> Tensor:
    return _sampled(mask[None].double(), grid, "nearest")[0] > 0.5


def _labels(labels: Tensor, grid: Tensor) -> Tensor:
    return _sampled(labels[None].double(), grid, "nearest")[0].round().long()


def _kept_pixels(grid: Tensor, covered: Tensor) -> Tensor:
    """The old pixels that some new one is taken from, or whose neighbour is: bool (H, W)."""
    height, width = covered.shape
    x = ((grid[0, ..., 0] + 1) * width - 1) / 2
    y = ((grid[0, ..., 1] + 1) * height - 1) / 2
    kept = torch.zeros(height, width, dtype=torch.bool)
    inside = covered & (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    for rounded in (torch.floor, torch.ceil):
        for other in (torch.floor, torch.ceil):
            kept[other(y[inside]).long().clamp(0, height - 1), rounded(x[inside]).long().clamp(0, width - 1)] = True
    return kept


def _renumbered(sample: Sample, target: BoxTarget, regions: dict[str, Tensor]) -> dict[str, Tensor]:
    """Instance masks numbered as the boxes that are left."""
    kept = [k for k in instances(sample) if k < len(sample.target.boxes) and _is_left(regions, k, sample)]  # type: ignore[union-attr]
    out = {name: mask for name, mask in regions.items() if not name.startswith(("instance:", "amodal:"))}
    for i, k in enumerate(kept[: len(target.boxes)]):
        for kind in ("instance", "amodal"):
            if f"{kind}:{k}" in regions:
                out[f"{kind}:{i}"] = regions[f"{kind}:{k}"]
    return out


def _is_left(regions: dict[str, Tensor], k: int, sample: Sample) -> bool:
    return f"instance:{k}" not in sample.regions or bool(regions[f"instance:{k}"].any())
