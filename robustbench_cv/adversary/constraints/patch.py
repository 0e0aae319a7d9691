"""A square of free pixels at one place of the image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.adversary.attack_facts import Norm
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxTarget, Target

Place = Literal["corner", "centre", "object", "random"]


@dataclass(frozen=True, eq=False)
class Patch(Constraint):
    """Any pixels in [0, 1] inside a square of at most `radius` of the image's area; nothing else moves. theta is the square (N, 3, s, s).

    where: the top left corner, the centre of the image, the centre of the largest reference box (of the image, where the references are
    no boxes), or anywhere, drawn per sample id; the square always lies inside the image. corners: int64 (N, 2) top and left, from place().
    """

    radius: float
    where: Place = "corner"
    corners: Tensor | None = None
    norm: ClassVar[Norm] = "area"

    def __post_init__(self) -> None:
        if not 0 < self.radius <= 1:
            raise UserError(f"a patch covers a share of the image's area in (0, 1], not {self.radius!r}: write 0.02 for 2 %")
        if self.where not in ("corner", "centre", "object", "random"):
            raise UserError(f"no place named {self.where!r}; there are 'corner', 'centre', 'object' and 'random'")

    def side(self, x0: Tensor) -> int:
        """Side of the square in pixels, rounded down so that the share is kept. NotApplicable where that leaves no pixel."""
        height, width = x0.shape[-2:]
        side = min(math.floor(math.sqrt(self.radius * height * width) + 1e-9), height, width)
        if side == 0:
            raise NotApplicable(f"{self.radius:g} of an image of {height} x {width} is less than a pixel")
        return side

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> Patch:
        side = self.side(x0)
        room = torch.tensor([x0.shape[-2] - side, x0.shape[-1] - side])
        if self.where == "random":
            wanted = (noise.uniform((2,)) * (room + 1)).floor().long()
        elif self.where == "object":
            wanted = torch.stack([_above_object(target, side, room) for target in references])
        else:
            wanted = (room * (0.0 if self.where == "corner" else 0.5)).long().expand(len(x0), 2)
        corners = torch.minimum(wanted.clamp(min=0), room)
        return dataclasses.replace(self, corners=corners.to(x0.device))

    def select(self, index: Tensor) -> Patch:
        return self if self.corners is None else dataclasses.replace(self, corners=self.corners[index])

    def start(self, x0: Tensor, noise: Noise | None) -> Tensor:
        """Uniform random pixels; None gives the image's own."""
        if noise is None:
            return x0[self._index(x0)].movedim(-1, 1).clone()
        return noise.uniform((x0.shape[1], self.side(x0), self.side(x0)), x0.device).to(x0)

    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        """Pixels that are 0 or 1 in each channel."""
        return self.start(x0, noise).round()

    def apply(self, x0: Tensor, theta: Tensor) -> Tensor:
        return torch.index_put(x0, self._index(x0), theta.movedim(1, -1))

    def project(self, x0: Tensor, theta: Tensor) -> Tensor:
        return theta.clamp(0, 1)

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        """Share of the image's area inside the smallest square around all that changed."""
        changed = (x != x0).any(dim=1).cpu()
        frames = torch.stack([boxes.from_mask(mask) for mask in changed]).to(x0)
        longest = torch.maximum(frames[:, 2] - frames[:, 0], frames[:, 3] - frames[:, 1])
        return longest.square() / (x0.shape[-2] * x0.shape[-1])

    def _index(self, x0: Tensor) -> tuple[Tensor, ...]:
        """Indices of the squares in (N, 3, H, W), for which x[index] is (N, s, s, 3)."""
        if self.corners is None:
            raise ValueError("this patch has no place yet: use constraint.place(x0, references, noise)")
        span = torch.arange(self.side(x0), device=x0.device)
        rows = self.corners[:, 0, None] + span
        columns = self.corners[:, 1, None] + span
        batch = torch.arange(len(x0), device=x0.device)[:, None, None, None]
        channels = torch.arange(x0.shape[1], device=x0.device)
        return batch, channels, rows[:, :, None, None], columns[:, None, :, None]


def _above_object(target: Target, side: int, room: Tensor) -> Tensor:
    if not isinstance(target, BoxTarget) or len(target.boxes) == 0:
        return room // 2
    x1, y1, x2, y2 = target.boxes[boxes.area(target.boxes).argmax()].cpu().tolist()
    return torch.tensor([round((y1 + y2 - side) / 2), round((x1 + x2 - side) / 2)])
