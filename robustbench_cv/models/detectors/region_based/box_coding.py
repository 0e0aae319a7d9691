"""Boxes as corrections of other boxes. Girshick, Donahue, Darrell, Malik, CVPR 2014, appendix C, https://arxiv.org/abs/1311.2524"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = 2.0
"""Bound of the logarithms of size, e^2 = 7 times: an exponential of an attacked network must not overflow. Project choice."""


def encode(regions: Tensor, truths: Tensor) -> Tensor:
    """What takes each region (..., 4) to its truth: (dx / w, dy / h, log of the ratio of widths, of heights), (..., 4)."""
    centre, size = _centre_size(regions)
    wanted, wanted_size = _centre_size(truths)
    return torch.cat([(wanted - centre) / size, (wanted_size / size).log()], dim=-1)


def decode(regions: Tensor, deltas: Tensor) -> Tensor:
    """The boxes that corrections (..., 4) make of regions: the inverse of `encode` while logarithms stay below LARGEST."""
    centre, size = _centre_size(regions)
    centre = centre + deltas[..., :2] * size
    half = size * deltas[..., 2:].clamp(max=LARGEST).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
