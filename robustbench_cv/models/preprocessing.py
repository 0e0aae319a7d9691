"""What happens to pixels before a network sees them: scale, crop, normalise. Inside the model: differentiable, never forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.errors import UserError

Interpolation = Literal["bilinear", "bicubic", "nearest"]


class Preprocessing(nn.Module):
    """Images (N, 3, H, W) in [0, 1] -> network input (N, 3, h, w).

    size alone stretches to (h, w); short alone scales the short side to it and keeps the aspect; both scale, then cut the centre.
    Scaling is antialiased, as the usual evaluation transforms are. Without mean and std the range stays [0, 1]. channels: the order in
    which the network takes them, "BGR" for one that was trained on what OpenCV reads; mean and std are in that order.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        size: tuple[int, int] | None = None,
        short: int | None = None,
        interpolation: Interpolation = "bilinear",
        channels: str = "RGB",
    ) -> None:
        super().__init__()
        if (mean is None) != (std is None):
            raise UserError("mean and std come together; give both or neither")
        if size is not None and min(size) < 1:
            raise UserError(f"a network cannot see images of {size[1]} x {size[0]} px; give an input_size of at least 1")
        if size is not None and short is not None and short < max(size):
            raise UserError(f"a short side of {short} px is less than the crop {size}; raise it or stretch instead")
        if sorted(channels) != sorted("RGB"):
            raise UserError(f"channels={channels!r} is no order of red, green and blue; write 'RGB' or 'BGR'")
        self.channels = channels
        self.register_buffer("mean", _channels("mean", mean), persistent=False)
        self.register_buffer("std", _channels("std", std), persistent=False)
        self.size, self.short = size, short
        self.interpolation: Interpolation = interpolation

    def forward(self, images: Tensor) -> Tensor:
        """Differentiable. ValueError where the images are no float batch (N, 3, H, W)."""
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"a model takes float images (N, 3, H, W) in [0, 1], got {images.dtype} {tuple(images.shape)}")
        x = self._crop(scale(images, self._scaled(images), self.interpolation))
        x = x if self.channels == "RGB" else x[:, ["RGB".index(c) for c in self.channels]]
        return x if self.mean is None or self.std is None else (x - self.mean) / self.std

    def _scaled(self, images: Tensor) -> tuple[int, int]:
        height, width = images.shape[-2:]
        if self.short is None:
            return self.size or (height, width)
        shortest = min(height, width)
        return int(self.short * height / shortest), int(self.short * width / shortest)

    def _crop(self, x: Tensor) -> Tensor:
        if self.size is None or x.shape[-2:] == self.size:
            return x
        (height, width), (h, w) = x.shape[-2:], self.size
        top, left = round((height - h) / 2), round((width - w) / 2)
        return x[..., top : top + h, left : left + w]

    def extra_repr(self) -> str:
        """Every setting, since a model's identity is made of it too."""
        mean = None if self.mean is None else self.mean.flatten().tolist()
        std = None if self.std is None else self.std.flatten().tolist()
        order = "" if self.channels == "RGB" else f", channels={self.channels!r}"
        return f"mean={mean}, std={std}, size={self.size}, short={self.short}, interpolation={self.interpolation!r}{order}"


def scale(images: Tensor, size: tuple[int, int], interpolation: Interpolation = "bilinear") -> Tensor:
    """Images (N, C, H, W) at another size, antialiased where that exists; the same tensor where the size is already right."""
    if images.shape[-2:] == size:
        return images
    if interpolation == "nearest":
        return F.interpolate(images, size, mode="nearest")
    return F.interpolate(images, size, mode=interpolation, align_corners=False, antialias=True)


def _channels(what: str, values: Sequence[float] | None) -> Tensor | None:
    if values is None:
        return None
    if len(values) != 3 or (what == "std" and min(values) <= 0):
        raise UserError(f"{what} is {tuple(values)}; it needs three numbers, one a channel of RGB{', above 0' * (what == 'std')}")
    if max(abs(v) for v in values) > 2:
        raise UserError(f"{what} is {tuple(values)}, which looks like 0-255 units; images are in [0, 1] here: divide it by 255")
    # On the CPU, since a network made on the meta device is described with these numbers too.
    return torch.tensor(values, dtype=torch.float32, device="cpu").reshape(1, 3, 1, 1)
