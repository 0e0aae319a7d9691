"""Few pixels, each free: the L0 ball over pixels. Croce & Hein, ICCV 2019, https://arxiv.org/abs/1909.05040"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustbench_cv.adversary.attack_facts import Norm
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import Target


@dataclass(frozen=True)
class L0(Constraint):
    """At most `radius` pixels differ, in any of their channels, and x in [0, 1]. theta is the image x."""

    radius: float
    norm: ClassVar[Norm] = "l0"

    def __post_init__(self) -> None:
        if self.radius < 0 or self.radius != int(self.radius):
            raise UserError(f"pixels={self.radius!r} must be a whole number from 0 up: how many pixels may change")

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> L0:
        return self

    def start(self, x0: Tensor, noise: Noise | None) -> Tensor:
        """`radius` random pixels of uniform random colours (project choice)."""
        if noise is None:
            return x0.clone()
        order = noise.fork("pixels").uniform((1, *x0.shape[2:]), x0.device).to(x0)
        colours = noise.uniform(tuple(x0.shape[1:]), x0.device).to(x0)
        return torch.where(_highest(order[:, 0], int(self.radius))[:, None], colours, x0)

    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        """`radius` random pixels, each channel black or white."""
        start = self.start(x0, noise)
        return torch.where(start != x0, start.round(), x0)

    def apply(self, x0: Tensor, theta: Tensor) -> Tensor:
        return theta

    def project(self, x0: Tensor, theta: Tensor) -> Tensor:
        """Exact: the pixels that would lose most by being put back keep what the box allows of their change (section 3.1)."""
        boxed = theta.clamp(0, 1)
        gain = ((theta - x0).square() - (theta - boxed).square()).sum(dim=1)
        kept = _highest(gain, int(self.radius)) & (boxed != x0).any(dim=1)
        return torch.where(kept[:, None], boxed, x0)

    def steepest(self, grad: Tensor) -> Tensor:
        """The gradient over its L1 length: no pixel is chosen before projection."""
        scaled = grad / grad.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
        return scaled / scaled.abs().sum(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        """How many pixels differ: float (N,)."""
        return (x != x0).any(dim=1).flatten(1).sum(dim=1).to(x)


def _highest(scores: Tensor, count: int) -> Tensor:
    """Which `count` places of each (N, H, W) hold the highest scores: bool (N, H, W)."""
    flat = scores.flatten(1)
    places = flat.topk(min(count, flat.shape[1]), dim=1).indices
    return torch.zeros_like(flat, dtype=torch.bool).scatter(1, places, True).reshape(scores.shape)
