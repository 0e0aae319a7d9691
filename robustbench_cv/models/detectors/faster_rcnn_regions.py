"""How a region's features are cut out of feature maps: RoIPool, RoIWarp, RoIAlign, and a crop that resamples nothing.

* "pool": RoIPool. Girshick, ICCV 2015, https://arxiv.org/abs/1504.08083. The box is rounded to whole cells, its bins are rounded again,
  the largest value of each bin is taken.
* "warp": RoIWarp as Mask R-CNN describes it (Dai, He, Sun, CVPR 2016, https://arxiv.org/abs/1512.04412): the box is rounded to whole
  cells, then sampled bilinearly.
* "align": RoIAlign. He, Gkioxari, Dollár, Girshick, ICCV 2017, https://arxiv.org/abs/1703.06870. Nothing is rounded; bilinear
  samples at regular places of a bin are averaged. As in the paper's own code, coordinates are not shifted by half a cell (torchvision's
  aligned=False).
* "crop": the baseline without warping (a definition of this project). The cells that the box touches are cut out as they are, without
  rounding to the nearest and without interpolation, and averaged into the bins, which share a cell where it belongs to both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align, roi_pool

from robustbench_cv.errors import UserError

Operator = Callable[[Tensor, list[Tensor], int, float, int], Tensor]
"""(maps (N, C, H, W), boxes (K, 4) in px for each image, bins a side, cells a px, samples along a bin) -> (sum of K, C, bins, bins)."""


def pool(maps: Tensor, boxes: list[Tensor], bins: int, scale: float, samples: int = 2) -> Tensor:
    """RoIPool; it takes every cell, so that `samples` means nothing."""
    # there is no kernel for 16 bits on the CPU
    values: Tensor = roi_pool(maps.float(), [b.float() for b in boxes], bins, scale)
    return values


def warp(maps: Tensor, boxes: list[Tensor], bins: int, scale: float, samples: int = 2) -> Tensor:
    """RoIWarp: RoIAlign of boxes rounded to whole cells, of at least one cell, the last cell included as RoIPool does."""
    cells = [(b * scale).round() for b in boxes]
    whole = [torch.cat([c[:, :2], torch.maximum(c[:, 2:], c[:, :2]) + 1], dim=1) / scale for c in cells]
    return align(maps, whole, bins, scale, samples)


def align(maps: Tensor, boxes: list[Tensor], bins: int, scale: float, samples: int = 2) -> Tensor:
    """RoIAlign with samples x samples in each bin."""
    values: Tensor = roi_align(maps, boxes, bins, scale, sampling_ratio=samples)
    return values


def crop(maps: Tensor, boxes: list[Tensor], bins: int, scale: float, samples: int = 2) -> Tensor:
    """Average of the touched cells in each bin; nothing is resampled, so that `samples` means nothing."""
    height, width = maps.shape[-2:]
    parts = []
    for image, own in zip(maps, boxes, strict=True):
        low = (own[:, :2] * scale).floor().long().tolist()
        high = (own[:, 2:] * scale).ceil().long().tolist()
        for (x1, y1), (x2, y2) in zip(low, high, strict=True):
            left, top = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
            cells = image[:, top : max(y2, top + 1), left : max(x2, left + 1)]
            parts.append(F.adaptive_avg_pool2d(cells, bins))
    return torch.stack(parts) if parts else maps.new_zeros(0, maps.shape[1], bins, bins)


OPERATORS: dict[str, Operator] = {"pool": pool, "warp": warp, "align": align, "crop": crop}


class Regions(nn.Module):
    """Features of boxes, each from the pyramid level that suits its size; in the place of torchvision's MultiScaleRoIAlign.

    operator: a key of OPERATORS. levels: names of the feature maps that are read, the finest first. With several, a box of `area` side
    224 px goes to the level `canonical` (counted in powers of 2 of the stride: 4 is stride 16), one of half the side to the level below:
    equation 1 of Lin et al., CVPR 2017, https://arxiv.org/abs/1612.03144.
    """

    def __init__(self, operator: str, levels: Sequence[str], bins: int, side: float = 224.0, canonical: int = 4, samples: int = 2) -> None:
        super().__init__()
        if operator not in OPERATORS:
            raise UserError(f"no region operator {operator!r}; choose one of {', '.join(OPERATORS)}")
        self.operator, self.levels, self.output_size = operator, tuple(levels), (bins, bins)
        self.side, self.canonical, self.samples = side, canonical, samples

    def forward(self, features: Mapping[str, Tensor], boxes: list[Tensor], image_shapes: Sequence[tuple[int, int]]) -> Tensor:
        """(sum of K, C, bins, bins), in the order of the boxes."""
        maps = [features[name] for name in self.levels]
        height = max(shape[0] for shape in image_shapes)
        strides = [round(math.log2(height / level.shape[-2])) for level in maps]
        bins, cut = self.output_size[0], OPERATORS[self.operator]
        if len(maps) == 1:
            return cut(maps[0], boxes, bins, 2.0 ** -strides[0], self.samples)
        sizes = [len(b) for b in boxes]
        of_level = self._level(torch.cat(boxes)).clamp(strides[0], strides[-1])
        out = maps[0].new_zeros(sum(sizes), maps[0].shape[1], bins, bins)
        for level, stride in zip(maps, strides, strict=True):
            chosen = of_level == stride
            own = [b[c] for b, c in zip(boxes, torch.split(chosen, sizes), strict=True)]
            out = out.index_put((chosen.nonzero()[:, 0],), cut(level, own, bins, 2.0**-stride, self.samples).to(out.dtype))
        return out

    def _level(self, boxes: Tensor) -> Tensor:
        """floor(canonical + log2(side of the box / 224)), int64 (K,)."""
        area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=0)
        # The small number keeps a box of exactly a level's least side on that level.
        return (self.canonical + torch.log2(area.sqrt() / self.side) + 1e-6).floor().nan_to_num(neginf=0).long()

    def extra_repr(self) -> str:
        """Every setting."""
        size = f"bins={self.output_size[0]}, samples={self.samples}"
        return f"{self.operator!r}, levels={self.levels}, {size}, side={self.side}, canonical={self.canonical}"
