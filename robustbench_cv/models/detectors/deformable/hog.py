"""Histograms of oriented gradients as deformable part models read them: 31 channels a cell, and one that says "outside the image".

Dalal, Triggs, CVPR 2005; Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 2010, section 6. Channels: 18 signed orientations, 9 unsigned,
4 sums of gradient energy (one for each neighbouring block that normalises), truncation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

CHANNELS, SIGNED, UNSIGNED = 32, 18, 9
CLIP, TEXTURE, LITTLE = 0.2, 0.2357, 1e-4
"""Of the released code: largest normalised value, weight of the energy channels, what keeps a flat block (0-255 units) finite."""


def hog(images: Tensor, cell: int) -> Tensor:
    """(N, 3, H, W) in [0, 1], sides multiples of `cell` -> (N, 32, H / cell - 2, W / cell - 2): the outermost cells only normalise.

    Differentiable in the strength of each pixel's gradient; its orientation bin and the channel it is taken from are chosen, so the output
    jumps where that choice changes.
    """
    x = images * 255
    right = x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2]
    down = x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]
    channel = (right.square() + down.square()).argmax(1, keepdim=True)
    right, down = right.gather(1, channel), down.gather(1, channel)
    angles = torch.arange(UNSIGNED, device=x.device, dtype=x.dtype) * (math.pi / UNSIGNED)
    along = right * angles.cos()[:, None, None] + down * angles.sin()[:, None, None]
    chosen = torch.cat([along, -along], dim=1).argmax(1, keepdim=True)
    strength = (right.square() + down.square() + 1e-12).sqrt()
    votes = torch.zeros_like(strength).expand(-1, SIGNED, -1, -1).scatter(1, chosen, strength)
    tall, wide = (_tents(side, cell, x) for side in images.shape[-2:])
    counts = tall @ votes @ wide.T
    return _normalise(counts)


def _tents(side: int, cell: int, like: Tensor) -> Tensor:
    """How much each inner pixel of a line counts for each cell: (side / cell, side - 2), linear in the distance to the cell's middle."""
    pixel = (torch.arange(1, side - 1, device=like.device, dtype=like.dtype) + 0.5) / cell - 0.5
    return (1 - (torch.arange(side // cell, device=like.device, dtype=like.dtype)[:, None] - pixel).abs()).clamp(min=0)


def _normalise(counts: Tensor) -> Tensor:
    """Votes (N, 18, h, w) -> features (N, 32, h - 2, w - 2): each cell by the energy of the four 2x2 blocks that hold it, clipped."""
    unsigned = counts[:, :UNSIGNED] + counts[:, UNSIGNED:]
    energy = unsigned.square().sum(1, keepdim=True)
    blocks = (F.avg_pool2d(energy, 2, stride=1) * 4 + LITTLE).rsqrt()
    inner = counts[:, :, 1:-1, 1:-1]
    scales = [blocks[:, :, 1:, 1:], blocks[:, :, :-1, 1:], blocks[:, :, 1:, :-1], blocks[:, :, :-1, :-1]]
    signed = [(inner * s).clamp(max=CLIP) for s in scales]
    plain = [(unsigned[:, :, 1:-1, 1:-1] * s).clamp(max=CLIP) for s in scales]
    texture = [s.sum(1, keepdim=True) * TEXTURE for s in signed]
    outside = torch.zeros_like(texture[0])
    return torch.cat([0.5 * _sum(signed), 0.5 * _sum(plain), *texture, outside], dim=1)


def _sum(parts: list[Tensor]) -> Tensor:
    return parts[0] + parts[1] + parts[2] + parts[3]


def pad_cells(features: Tensor, before: int, after: int) -> Tensor:
    """Cells outside the image on all sides: nothing but the truncation channel, which is 1 there."""
    around = (before, after, before, after)
    return torch.cat([F.pad(features[:, :-1], around), F.pad(features[:, -1:], around, value=1.0)], dim=1)


def mirror_filters(filters: Tensor) -> Tensor:
    """What a filter (..., 32, h, w) becomes when the image is turned left to right."""
    signed = [(UNSIGNED - o) % SIGNED for o in range(SIGNED)]
    plain = [SIGNED + (UNSIGNED - o) % UNSIGNED for o in range(UNSIGNED)]
    blocks = [SIGNED + UNSIGNED + k for k in (2, 3, 0, 1)]
    return filters[..., [*signed, *plain, *blocks, CHANNELS - 1], :, :].flip(-1)
