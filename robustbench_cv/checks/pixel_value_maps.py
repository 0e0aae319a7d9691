"""Changes of pixel values that can be put together, and written down: as mean, std and channel order, or as a line of code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

Three: TypeAlias = tuple[float, float, float]
Order: TypeAlias = tuple[int, int, int]

RGB: Order = (0, 1, 2)
_DIGITS = 5


@dataclass(frozen=True)
class PixelChange:
    """y_c = scale_c * x_k ** power + offset_c, where k = order_c; of images (N, 3, H, W). x is cut at 0 where power is not 1."""

    scale: Three = (1.0, 1.0, 1.0)
    offset: Three = (0.0, 0.0, 0.0)
    order: Order = RGB
    power: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        x = x if self.power == 1 else x.clamp(min=0) ** self.power
        x = x if self.order == RGB else x[:, list(self.order)]
        return x * x.new_tensor(self.scale)[:, None, None] + x.new_tensor(self.offset)[:, None, None]

    def then(self, other: PixelChange) -> PixelChange:
        """This one first. ValueError where the other bends values."""
        if other.power != 1:
            raise ValueError(f"a power of {other.power} after another change is no change of this form; put it first")
        scale = [self.scale[k] * s for k, s in zip(other.order, other.scale, strict=True)]
        offset = [self.offset[k] * s + o for k, s, o in zip(other.order, other.scale, other.offset, strict=True)]
        return PixelChange(three(scale), three(offset), _order([self.order[k] for k in other.order]), self.power)

    def as_statistics(self) -> Normalisation | None:
        """The same as (x_k - mean_c) / std_c; None where it turns or bends values, which no mean and std do."""
        if self.power != 1 or min(self.scale) <= 0:
            return None
        pairs = list(zip(self.scale, self.offset, strict=True))
        return Normalisation(self.order, three([_rounded(-o / s) for s, o in pairs]), three([_rounded(1 / s) for s, _ in pairs]))

    @property
    def code(self) -> str:
        """A line of Python that changes `images`, a tensor (N, 3, H, W).

        >>> PixelChange(scale=(2, 2, 2), order=(2, 1, 0)).code
        'images = images[:, [2, 1, 0]] * 2'
        """
        images = "images" if self.power == 1 else f"images.clamp(min=0) ** {self.power:.{_DIGITS}g}"
        if self.order != RGB:
            images = f"{images if self.power == 1 else f'({images})'}[:, {list(self.order)}]"
        if self.scale != (1, 1, 1):
            images = f"{images} * {_constant(self.scale)}"
        return f"images = {images}" + (f" + {_constant(self.offset)}" if any(self.offset) else "")


class Normalisation(NamedTuple):
    """order[c] is the channel of the image that becomes channel c; mean and std are in the new order."""

    order: Order
    mean: Three
    std: Three


def three(values: Sequence[float]) -> Three:
    """Of each channel."""
    a, b, c = (float(v) for v in values)
    return a, b, c


def _order(values: Sequence[int]) -> Order:
    a, b, c = values
    return a, b, c


def _rounded(value: float) -> float:
    """Five digits after the point or, of small numbers, in all; no minus before a zero."""
    return float(f"{round(value, _DIGITS) if abs(value) > 0.1 or abs(value) < 1e-6 else value:.{_DIGITS}g}") + 0.0


def _constant(values: Three) -> str:
    if len(set(values)) == 1:
        return f"{values[0]:.{_DIGITS}g}"
    return f"images.new_tensor([{', '.join(f'{v:.{_DIGITS}g}' for v in values)}])[:, None, None]"


class Statistics(NamedTuple):
    """(x - mean) / std, per channel of x in [0, 1]."""

    name: str
    mean: Three
    std: Three

    @property
    def normalise(self) -> PixelChange:
        """To what a network was trained on."""
        return PixelChange(three([1 / s for s in self.std]), three([-m / s for m, s in zip(self.mean, self.std, strict=True)]))

    @property
    def undo(self) -> PixelChange:
        """Back to [0, 1]."""
        return PixelChange(self.std, self.mean)


IMAGENET = Statistics("ImageNet's mean and std", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Statistics("mean and std of 0.5", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CIFAR10 = Statistics("CIFAR-10's mean and std", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CAFFE = Statistics("Caffe's mean of 0-255", (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255))
"""Of Caffe's ImageNet models, whose channels are BGR: flip after it."""

FLIP = PixelChange(order=(2, 1, 0))
"""RGB to BGR, and back."""


def shifted(mean: Sequence[float]) -> PixelChange:
    """x + mean."""
    return PixelChange(offset=three(mean))


def scaled(by: float) -> PixelChange:
    """x * by."""
    return PixelChange(scale=(by, by, by))


def ycbcr_to_rgb(x: Tensor) -> Tensor:
    """Full range, as JPEG has it (ITU-T T.871); x (N, 3, H, W) in [0, 1]."""
    y, cb, cr = x[:, 0], x[:, 1] - 0.5, x[:, 2] - 0.5
    return torch.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 1).clamp(0, 1)


def rgb_to_ycbcr(x: Tensor) -> Tensor:
    """The inverse of ycbcr_to_rgb."""
    r, g, b = x.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack([y, (b - y) / 1.772 + 0.5, (r - y) / 1.402 + 0.5], 1)
