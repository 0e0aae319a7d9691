"""Augmentations that keep every truth true, parts to be chained. Contexts are never mixed: a data set's bias stays what it is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.training.recipe import Augment


def chain(*parts: Augment) -> Augment:
    """One after the other."""

    def augment(images: Tensor, truths: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        for part in parts:
            images, truths = part(images, truths, rng)
        return images, truths

    return augment


def flip(images: Tensor, truths: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half of the images left to right; label maps and boxes with them."""
    chosen = torch.rand(len(images), generator=rng).to(images.device) < 0.5
    images = torch.where(chosen[:, None, None, None], images.flip(-1), images)
    if truths.ndim == 1:
        return images, truths
    turned = truths.flip(-1) if not truths.is_floating_point() else _mirror_boxes(truths, images.shape[-1])
    return images, torch.where(chosen[:, None, None], turned, truths)


def _mirror_boxes(rows: Tensor, width: int) -> Tensor:
    x1, y1, x2, y2, label = rows.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2, label], dim=-1)


def light(images: Tensor, truths: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each image's contrast by 0.8-1.2 about its mean, each channel's brightness by up to 0.06."""
    contrast = (torch.rand(len(images), 1, 1, 1, generator=rng) * 0.4 + 0.8).to(images.device)
    shift = (torch.rand(len(images), 3, 1, 1, generator=rng) * 0.12 - 0.06).to(images.device)
    middle = images.mean((1, 2, 3), keepdim=True)
    return ((images - middle) * contrast + middle + shift).clamp(0, 1), truths


def shift(images: Tensor, truths: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each image moved by up to a twelfth of its side, mirrored at the border. For class labels only, which a small shift leaves true."""
    height, width = images.shape[-2:]
    pad = max(1, height // 12)
    large = F.pad(images, (pad, pad, pad, pad), mode="reflect")
    tops, lefts = torch.randint(2 * pad + 1, (2, len(images)), generator=rng).tolist()
    return torch.stack([x[:, t : t + height, u : u + width] for x, t, u in zip(large, tops, lefts, strict=True)]), truths


def move(images: Tensor, truths: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each image scaled by 0.8-1.2 and moved by up to a fifth of its side (Redmon et al. 2016, section 2.2), grey around. For boxes.

    An object whose centre leaves the image is gone; of any other the part inside remains.
    """
    count, size = len(images), images.new_tensor([images.shape[-1], images.shape[-2]])
    chosen = (torch.rand(3, count, generator=rng) * 0.4 - 0.2).to(images.device)
    scale, by = 1 + chosen[0], chosen[1:].T
    theta = torch.diag_embed((1 / scale)[:, None].expand(-1, 2))
    theta = torch.cat([theta, (-2 * by / scale[:, None])[:, :, None]], dim=2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images - 0.5, grid, align_corners=False) + 0.5
    middle, most = size.repeat(2) / 2, size.repeat(2)
    boxes = (truths[..., :4] - middle) * scale[:, None, None] + middle + (by * size).repeat(1, 2)[:, None]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    inside = ((centre >= 0) & (centre < size)).all(-1) & (truths[..., 4] >= 0)
    rows = torch.cat([torch.minimum(boxes.clamp(min=0), most), truths[..., 4:]], dim=-1)
    return moved.clamp(0, 1), torch.where(inside[..., None], rows, -1)


def zoom(images: Tensor, truths: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A window of 0.6-1 of each side, one for the whole batch, scaled to full size. For label maps."""
    height, width = images.shape[-2:]
    share, down, across = torch.rand(3, generator=rng).tolist()
    h, w = (max(8, round(side * (0.6 + 0.4 * share))) for side in (height, width))
    top, left = round(down * (height - h)), round(across * (width - w))
    window = images[..., top : top + h, left : left + w]
    maps = truths[:, None, top : top + h, left : left + w]
    images = F.interpolate(window, (height, width), mode="bilinear", align_corners=False)
    return images, F.interpolate(maps, (height, width), mode="nearest-exact")[:, 0]
