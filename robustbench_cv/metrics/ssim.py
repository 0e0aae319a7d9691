"""Structural similarity: how alike two images look. Wang, Bovik, Sheikh, Simoncelli, 2004, https://doi.org/10.1109/TIP.2003.819861"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 11
"""Of the window, px; its weights are a Gaussian's."""
SIGMA = 1.5
STABILISERS = (0.01**2, 0.03**2)
"""(K1 L)^2 and (K2 L)^2 for values in [0, 1]."""


def structural_similarity(a: Tensor, b: Tensor) -> Tensor | None:
    """SSIM of each pair of images: (N,) up to 1, which only equal images have; None where a side is shorter than the window.

    a, b: (N, C, H, W) in [0, 1]. The mean over channels, and over the places where the window lies inside the image.
    """
    if min(a.shape[-2:]) < SIDE:
        return None
    offsets = torch.arange(SIDE, device=a.device, dtype=a.dtype) - SIDE // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()

    def mean(x: Tensor) -> Tensor:
        channels = x.flatten(0, 1)[:, None]
        return F.conv2d(F.conv2d(channels, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1)).view(*x.shape[:2], -1)

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b, covariance = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    brightness = (2 * mean_a * mean_b + STABILISERS[0]) / (mean_a**2 + mean_b**2 + STABILISERS[0])
    structure = (2 * covariance + STABILISERS[1]) / (variance_a + variance_b + STABILISERS[1])
    return (brightness * structure).mean((1, 2))
