"""A grey square slid over the image: where the score falls, something that mattered was covered.

Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_cv.errors import UserError
from robustbench_cv.explain.targets import Explained, score_of
from robustbench_cv.interventions.fill import fill_region, known_fill
from robustbench_cv.interventions.slide_patch import Square, positions
from robustbench_cv.noise import Noise
from robustbench_cv.types import AnyModel

BATCH = 64


def occlusion(
    model: AnyModel,
    explained: Explained,
    image: Tensor,
    *,
    side: int | None = None,
    stride: int | None = None,
    fill: str = "gray",
    batch_size: int = BATCH,
) -> Tensor:
    """H(p) = score(x) - score(x occluded at p), spread back to pixels: the mean over the squares that cover a pixel. (H, W), signed.

    The score is a probability, so that H lies in [-1, 1]. side, stride: pixels; None is 32 and 8 at a shorter side of 224 px, scaled.
    fill: "gray" (the paper's), "mean", "black" or any other fill. A pixel that no square covers (stride > side) has 0.
    """
    for name, value in (("side", side), ("stride", stride), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise UserError(f"{name}={value} must be at least 1")
    known_fill(fill)
    height, width = image.shape[-2:]
    grid = positions(height, width, side, stride)
    return spread(drops(model, explained, image, grid, fill=fill, batch_size=batch_size), grid, height, width)


def drops(model: AnyModel, explained: Explained, image: Tensor, grid: list[Square], *, fill: str, batch_size: int = BATCH) -> Tensor:
    """H at every position of the grid: (P,), float32 on the CPU. One forward pass an occluded image, in batches."""
    score = score_of(model, explained, "probability")
    found = []
    with torch.no_grad():
        whole = score(image[None])
        for start in range(0, len(grid), batch_size):
            images = torch.stack([_covered(image, square, fill) for square in grid[start : start + batch_size]])
            found.append(whole - score(images))
    return torch.cat(found).float().cpu()


def spread(values: Tensor, grid: list[Square], height: int, width: int) -> Tensor:
    """The mean, at each pixel, of the values of the squares that cover it: (P,) -> (H, W); 0 where none does."""
    total, count = torch.zeros(height, width), torch.zeros(height, width)
    for value, at in zip(values, grid, strict=True):
        total[at.top : at.bottom, at.left : at.right] += value
        count[at.top : at.bottom, at.left : at.right] += 1
    return total / count.clamp(min=1)


def _covered(image: Tensor, at: Square, fill: str) -> Tensor:
    if fill in ("gray", "black"):
        covered = image.clone()
        covered[:, at.top : at.bottom, at.left : at.right] = 0.5 if fill == "gray" else 0.0
        return covered
    region = torch.zeros(image.shape[-2:], dtype=torch.bool)
    region[at.top : at.bottom, at.left : at.right] = True
    return fill_region(image.cpu(), region, fill, Noise(0, ("occlusion",))).to(image.device)
