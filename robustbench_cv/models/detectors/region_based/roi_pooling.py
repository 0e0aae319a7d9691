"""How a region becomes numbers of one size: warped from the pixels, or pooled from a map of the whole image."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import roi_align, roi_pool


def warp_regions(images: Tensor, regions: list[Tensor], side: int, context: int) -> Tensor:
    """Crops (P, C, side, side) of the regions (K, 4) px of each image, stretched to a square, `context` px of surroundings on each edge.

    Pixels outside the image are 0, which is the mean of normalised images. Bilinear samples, averaged; differentiable in the pixels.
    """
    wide = [_widen(r, side / (side - 2 * context)) for r in regions]
    crops: Tensor = roi_align(images.float(), wide, side, aligned=True)  # there is no kernel for 16 bits on the CPU
    return crops


def _widen(regions: Tensor, factor: float) -> Tensor:
    centre, half = (regions[:, :2] + regions[:, 2:]) / 2, (regions[:, 2:] - regions[:, :2]) / 2 * factor
    return torch.cat([centre - half, centre + half], dim=1)


def roi_max_pool(maps: Tensor, regions: list[Tensor], bins: int, stride: int) -> Tensor:
    """The largest value in each of bins x bins parts of each region, rounded to whole cells: (P, C, bins, bins).

    Girshick, ICCV 2015, section 2.1. The last cell counts, parts overlap where the region has too few cells.
    """
    pooled: Tensor = roi_pool(maps.float(), regions, bins, 1 / stride)
    return pooled


def spatial_pyramid_pool(maps: Tensor, regions: list[Tensor], levels: tuple[int, ...], stride: int) -> Tensor:
    """The largest values in n x n parts of each region for each level n, one after the other: (P, C * sum of n^2).

    He, Zhang, Ren, Sun, ECCV 2014, appendix A: a region's first cell is floor(x / stride) + 1, its last ceil(x / stride) - 1; a region too
    small for that gets the cell of its middle.
    """
    cells = [_whole_cells(r, stride, maps.shape[-2], maps.shape[-1]) for r in regions]
    return torch.cat([roi_max_pool(maps, cells, level, 1).flatten(1) for level in levels], dim=1)


def _whole_cells(regions: Tensor, stride: int, height: int, width: int) -> Tensor:
    limit = regions.new_tensor([width - 1, height - 1])
    first, last = (regions[:, :2] / stride).floor() + 1, (regions[:, 2:] / stride).ceil() - 1
    middle = ((regions[:, :2] + regions[:, 2:]) / 2 / stride).floor()
    fits = first <= last
    first, last = torch.where(fits, first, middle), torch.where(fits, last, middle)
    return torch.cat([torch.minimum(first.clamp(min=0), limit), torch.minimum(last.clamp(min=0), limit)], dim=1)
