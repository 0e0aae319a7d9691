"""A grey square slid over the image: where the score falls, something that mattered was covered.

Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.batching import BatchSize
from robustbench_cv.errors import UserError
from robustbench_cv.explain.incremental import Place, Windows
from robustbench_cv.explain.targets import Explained, Score, score_of
from robustbench_cv.interventions.fill import GRAY, fill_region, known_fill
from robustbench_cv.interventions.slide_patch import Square, positions
from robustbench_cv.models.batch_norm_folding import fold
from robustbench_cv.noise import Noise
from robustbench_cv.types import AnyModel, Model


def occlusion(
    model: AnyModel,
    explained: Explained,
    image: Tensor,
    *,
    side: int | None = None,
    stride: int | None = None,
    fill: str = "gray",
    batch_size: int | None = None,
) -> Tensor:
    """H(p) = score(x) - score(x occluded at p), spread back to pixels: the mean over the squares that cover a pixel. (H, W), signed.

    The score is a probability, so that H lies in [-1, 1]. side, stride: pixels; None is 32 and 8 at a shorter side of 224 px, scaled.
    fill: "gray" (the paper's), "mean", "black" or any other fill. batch_size: None is as many as the image's
    area allows. A pixel that no square covers (stride > side) has 0.
    """
    for name, value in (("side", side), ("stride", stride), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise UserError(f"{name}={value} must be at least 1")
    known_fill(fill)
    height, width = image.shape[-2:]
    grid = positions(height, width, side, stride)
    return spread(drops(model, explained, image, grid, fill=fill, batch_size=batch_size), grid, height, width)


def drops(model: AnyModel, explained: Explained, image: Tensor, grid: list[Square], *, fill: str, batch_size: int | None = None) -> Tensor:
    """H at every position of the grid: (P,), float32 on the CPU. One forward pass an occluded image, in batches."""
    # Hundreds of passes repay a copy with its batch norms folded (tests/benchmarks/test_occlusion_maps.py).
    score = score_of(cast("AnyModel", fold(cast("Model[Any]", model), image[None])), explained, "probability")
    found, at_once = [], BatchSize(batch_size).at(*image.shape[-2:])
    with torch.no_grad():
        whole = score(image[None])
        of_windows = _scores_windows(score, image, grid, fill)
        for start in range(0, len(grid), at_once):
            squares = grid[start : start + at_once]
            images = covered(image, squares, fill)
            found.append(whole - score(_windows(image, images, squares) if of_windows else images))
    return torch.cat(found).float().cpu()


AGREE = 1e-5
"""Probabilities that differ by less are the same but for rounding."""


def _windows(image: Tensor, images: Tensor, squares: Sequence[Square]) -> Windows:
    """Covered images as what they differ in from the image: windows as large as the largest square."""
    height, width = (max(s.bottom - s.top for s in squares), max(s.right - s.left for s in squares))
    top = torch.tensor([min(s.top, image.shape[-2] - height) for s in squares], device=image.device)
    left = torch.tensor([min(s.left, image.shape[-1] - width) for s in squares], device=image.device)
    return Windows.of(image[None], images, Place(top, left, height, width))


def _scores_windows(score: Score, image: Tensor, grid: Sequence[Square], fill: str) -> bool:
    """Whether the model takes windows and says the same of them: tried on a first, a middle and a last square."""
    squares = [grid[0], grid[len(grid) // 2], grid[-1]]
    images = covered(image, squares, fill)
    try:
        found = score(_windows(image, images, squares))
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, AttributeError):
        return False  # code that takes tensors of torch alone
    return bool(torch.allclose(found, score(images), atol=AGREE, rtol=0))


def spread(values: Tensor, grid: list[Square], height: int, width: int) -> Tensor:
    """The mean, at each pixel, of the values of the squares that cover it: (P,) -> (H, W); 0 where none does."""
    total, count = torch.zeros(height, width), torch.zeros(height, width)
    for value, at in zip(values, grid, strict=True):
        total[at.top : at.bottom, at.left : at.right] += value
        count[at.top : at.bottom, at.left : at.right] += 1
    return total / count.clamp(min=1)


def covered(image: Tensor, squares: Sequence[Square], fill: str) -> Tensor:
    """A copy of the image for each square, with that square filled: (len(squares), 3, H, W)."""
    images = image[None].repeat(len(squares), 1, 1, 1)
    for copy, at in zip(images, squares, strict=True):
        if fill in _FLAT:
            copy[:, at.top : at.bottom, at.left : at.right] = _FLAT[fill]
        else:
            region = torch.zeros(image.shape[-2:], dtype=torch.bool)
            region[at.top : at.bottom, at.left : at.right] = True
            copy.copy_(fill_region(image.cpu(), region, fill, Noise(0, ("occlusion",))))
    return images


_FLAT = {"gray": GRAY, "black": 0.0}
"""Fills that need not look at the image."""
