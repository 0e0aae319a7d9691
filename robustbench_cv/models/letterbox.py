"""Images of any size in a square, aspect kept, grey around; and the way back for boxes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.boxes import clip
from robustbench_cv.models.preprocessing import scale

GREY = 0.5


@dataclass(frozen=True)
class Letterbox:
    """How images of height x width px are put, scaled to h x w, at (top, left) of a square of `side` px."""

    height: int
    width: int
    side: int

    @property
    def scaled(self) -> tuple[int, int]:
        """(h, w): the longer side fills the square."""
        longest = max(self.height, self.width)
        return max(1, round(self.height * self.side / longest)), max(1, round(self.width * self.side / longest))

    @property
    def corner(self) -> tuple[int, int]:
        """(top, left) of the picture in the square."""
        h, w = self.scaled
        return (self.side - h) // 2, (self.side - w) // 2

    def images(self, images: Tensor) -> Tensor:
        """(N, 3, height, width) -> (N, 3, side, side), differentiable."""
        (h, w), (top, left) = self.scaled, self.corner
        return F.pad(scale(images, (h, w)), (left, self.side - w - left, top, self.side - h - top), value=GREY)

    def forth(self, boxes: Tensor) -> Tensor:
        """Boxes (..., 4) of the image in px of the square."""
        (h, w), (top, left) = self.scaled, self.corner
        x, y = w / self.width, h / self.height
        return boxes * boxes.new_tensor([x, y, x, y]) + boxes.new_tensor([left, top, left, top])

    def back(self, boxes: Tensor) -> Tensor:
        """Boxes (..., 4) of the square in px of the image, cut to it."""
        (h, w), (top, left) = self.scaled, self.corner
        x, y = self.width / w, self.height / h
        return clip((boxes - boxes.new_tensor([left, top, left, top])) * boxes.new_tensor([x, y, x, y]), self.height, self.width)

    def touched(self, squares: Tensor) -> Tensor:
        """Which boxes (K, 4) of the square share some of the picture: bool (K,)."""
        (h, w), (top, left) = self.scaled, self.corner
        x1, y1, x2, y2 = squares.unbind(-1)
        return (x2 > left) & (x1 < left + w) & (y2 > top) & (y1 < top + h)
