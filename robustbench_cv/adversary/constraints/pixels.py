"""A few pixels of any colour, anywhere: what one-pixel attacks may change. Su, Vargas, Sakurai, 2019, https://arxiv.org/abs/1710.08864"""

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
class Pixels(Constraint):
    """Any colour at up to `radius` pixels, anywhere; nothing else moves. theta is (N, radius, 5): row, column, red, green, blue, in [0, 1].

    Row and column are shares of the height and width. Of two entries at one place the later one holds. Only colours have a gradient.
    """

    radius: float
    theta_is_picture: ClassVar[bool] = False
    norm: ClassVar[Norm] = "l0"

    def __post_init__(self) -> None:
        if self.radius < 1 or self.radius != int(self.radius):
            raise UserError(f"pixels={self.radius!r} must be a whole number from 1 up")

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> Pixels:
        return self

    def start(self, x0: Tensor, noise: Noise | None) -> Tensor:
        """Uniform places, colours N(1/2, 1/2) cut to [0, 1], as in Su et al.; None gives the first pixel its own colour."""
        count = int(self.radius)
        if noise is None:
            return torch.cat([x0.new_zeros(len(x0), 2), x0[:, :, 0, 0]], dim=1)[:, None].repeat(1, count, 1)
        places = noise.fork("places").uniform((count, 2), x0.device)
        colours = 0.5 + 0.5 * noise.fork("colours").normal((count, 3), x0.device)
        return self.project(x0, torch.cat([places, colours], dim=2).to(x0))

    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        """Uniform places, each channel 0 or 1."""
        theta = self.start(x0, noise)
        return torch.cat([theta[..., :2], theta[..., 2:].round()], dim=2)

    def apply(self, x0: Tensor, theta: Tensor) -> Tensor:
        size = torch.tensor(x0.shape[-2:], device=x0.device)
        places = torch.minimum((theta[..., :2].detach() * size).long(), size - 1)
        batch, channels = torch.arange(len(x0), device=x0.device)[:, None], torch.arange(3, device=x0.device)
        x = x0
        for place, colour in zip(places.unbind(1), theta[..., 2:].unbind(1), strict=True):
            x = torch.index_put(x, (batch, channels, place[:, :1], place[:, 1:]), colour)
        return x

    def project(self, x0: Tensor, theta: Tensor) -> Tensor:
        return theta.clamp(0, 1)

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        """How many pixels changed."""
        return (x != x0).any(dim=1).flatten(1).sum(dim=1).to(x0)
