"""An affine map of the whole image: pixels, masks, label maps and boxes in their new places, and which old pixels are still seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from robustbench_cv.boxes import clip
from robustbench_cv.types import IGNORE

Matrix = tuple[tuple[float, float], tuple[float, float]]

IDENTITY: Matrix = ((1.0, 0.0), (0.0, 1.0))


def turn(degrees: float) -> Matrix:
    """The `back` of a counter-clockwise turn, as the picture is seen (y points down)."""
    angle = math.radians(degrees)
    return ((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle)))


@dataclass(frozen=True)
class AffineMap:
    """A map of images of one size. back: from a new pixel's offset from the centre, in pixels (x, y), to the old one's.

    right, down: whole pixels by which the picture moves after that.
    """

    height: int
    width: int
    back: Matrix = IDENTITY
    right: int = 0
    down: int = 0

    @cached_property
    def grid(self) -> Tensor:
        """Where each new pixel is taken from, as grid_sample has it: float64 (1, H, W, 2)."""
        (a, b), (c, d) = self.back
        height, width = self.height, self.width
        dx, dy = -2 * (a * self.right + b * self.down) / width, -2 * (c * self.right + d * self.down) / height
        # in grid_sample's coordinates, where each side goes from -1 to 1
        theta = torch.tensor([[a, b * height / width, dx], [c * width / height, d, dy]], dtype=torch.float64)
        return affine_grid(theta[None], [1, 1, height, width], align_corners=False)

    @cached_property
    def covered(self) -> Tensor:
        """New pixels that show an old one: bool (H, W)."""
        return self._sampled(torch.ones(1, self.height, self.width), "nearest")[0] > 0.5

    @cached_property
    def kept(self) -> Tensor:
        """Old pixels whose centre lies in the new image: bool (H, W)."""
        y, x = torch.meshgrid(torch.arange(self.height) + 0.5, torch.arange(self.width) + 0.5, indexing="ij")
        x, y = self.forth(torch.stack([x, y], dim=-1).double()).round(decimals=6).unbind(-1)  # float error moves no pixel out
        return (x >= 0) & (x <= self.width) & (y >= 0) & (y <= self.height)

    @property
    def enlargement(self) -> float:
        """Times by which areas grow."""
        (a, b), (c, d) = self.back
        return 1 / abs(a * d - b * c)

    def forth(self, points: Tensor) -> Tensor:
        """Where points (..., 2) of the old image, x and y in continuous pixel coordinates, lie in the new one."""
        centre = torch.tensor([self.width / 2, self.height / 2], dtype=torch.float64)
        matrix = torch.linalg.inv(torch.tensor(self.back, dtype=torch.float64))
        moved: Tensor = (points - centre) @ matrix.T + centre + torch.tensor([self.right, self.down])
        return moved

    def image(self, image: Tensor) -> Tensor:
        """(3, H, W), bilinear; what nothing covers repeats the nearest pixel of the picture's edge."""
        return self._sampled(image, "bilinear").clamp(0, 1).to(image.dtype)

    def mask(self, mask: Tensor) -> Tensor:
        """bool (H, W), nearest; False where nothing covers."""
        return self._sampled(mask[None], "nearest")[0] > 0.5

    def labels(self, labels: Tensor) -> Tensor:
        """int64 (H, W), nearest; IGNORE where nothing covers."""
        return self._sampled(labels[None], "nearest")[0].round().long().masked_fill(~self.covered, IGNORE)

    def box(self, box: Tensor) -> Tensor:
        """The tight box of a moved box's corners, cut to the image: (4,). Of a turned box, larger than that of the object in it."""
        x1, y1, x2, y2 = (float(v) for v in box)
        corners = self.forth(torch.tensor([[x, y] for x in (x1, x2) for y in (y1, y2)], dtype=torch.float64))
        return clip(torch.cat([corners.min(dim=0).values, corners.max(dim=0).values])[None], self.height, self.width)[0].float()

    def _sampled(self, planes: Tensor, mode: str) -> Tensor:
        """(C, H, W) at the grid's places; outside, 0 for nearest and the nearest border pixel for bilinear."""
        padding = "zeros" if mode == "nearest" else "border"
        return grid_sample(planes[None].double(), self.grid, mode=mode, padding_mode=padding, align_corners=False)[0]
