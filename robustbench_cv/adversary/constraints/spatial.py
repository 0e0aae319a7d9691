"""Rotations and translations. Engstrom, Tran, Tsipras, Schmidt, Madry, ICML 2019, https://arxiv.org/abs/1712.02779"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary.attack_facts import Norm
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import Target


@dataclass(frozen=True)
class Spatial(Constraint):
    """Rotation about the image's centre, then a shift; black beyond the border, bilinear. theta (N, 3): angle, right, down, in [-1, 1].

    radius: the share of the range that may be used: 1 is up to `degrees` of angle (clockwise positive) and `shift` of the image's width
    and height.
    """

    radius: float
    degrees: float = 30.0
    shift: float = 0.1
    theta_is_picture: ClassVar[bool] = False
    norm: ClassVar[Norm] = "range"

    def __post_init__(self) -> None:
        if not 0 <= self.radius <= 1:
            raise UserError(f"eps={self.radius!r} must be a share of the range, from 0 to 1: write eps=1.0 for {self.degrees:g} degrees")
        if not (0 <= self.degrees <= 180 and 0 <= self.shift <= 1):
            raise UserError(f"degrees={self.degrees!r} must be from 0 to 180 and shift={self.shift!r} a share of the image from 0 to 1")

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> Spatial:
        return self

    def start(self, x0: Tensor, noise: Noise | None) -> Tensor:
        """Uniform in the range."""
        if noise is None:
            return x0.new_zeros(len(x0), 3)
        return self.radius * (2 * noise.uniform((3,), x0.device).to(x0) - 1)

    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        """Uniform, scaled so that one of the three at least is at the end of its range."""
        theta = 2 * noise.uniform((3,), x0.device).to(x0) - 1
        return self.project(x0, self.radius * theta / theta.abs().amax(dim=1, keepdim=True))

    def apply(self, x0: Tensor, theta: Tensor) -> Tensor:
        height, width = x0.shape[-2:]
        angle = theta[:, 0] * math.radians(self.degrees)
        right, down = 2 * self.shift * theta[:, 1], 2 * self.shift * theta[:, 2]
        cos, sin = angle.cos(), angle.sin()
        # From output to input, in halves of the sides: undo the shift, then the rotation, which is one of pixels.
        across, along = sin * (height / width), -sin * (width / height)
        rows = torch.stack([cos, across, -cos * right - across * down, along, cos, -along * right - cos * down], dim=1)
        grid = F.affine_grid(rows.reshape(-1, 2, 3), list(x0.shape), align_corners=False)
        moved = F.grid_sample(x0, grid, mode="bilinear", padding_mode="zeros", align_corners=False).clamp(0, 1)
        # Sampling at the pixels themselves rounds; doing nothing is exact.
        return torch.where((theta == 0).all(dim=1).reshape(-1, 1, 1, 1), x0, moved)

    def project(self, x0: Tensor, theta: Tensor) -> Tensor:
        return theta.clamp(-self.radius, self.radius)

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        raise NotApplicable("how far an image was rotated and shifted cannot be read off the image; size(x0, theta) knows")

    def size(self, x0: Tensor, theta: Tensor) -> Tensor:
        """The largest share of its range that any of the three uses."""
        return theta.abs().amax(dim=1)
