"""Whether a map ranks pixels by what they do to the score: take the most relevant away first, or put them in first.

Petsiuk, Das, Saenko, "RISE", BMVC 2018, arXiv:1806.07421, and the numbers of its code (evaluation.py, Evaluation.ipynb).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.batching import BatchSize
from robustbench_cv.errors import UserError
from robustbench_cv.explain.preprocessing_mean import preprocessing_mean
from robustbench_cv.explain.targets import Explained, Score, score_of
from robustbench_cv.types import AnyModel

STEPS = 28
"""Pixels a step: the image in 28 parts, which at 224 x 224 are the paper's 1,792 pixels (for other sizes a project choice)."""

KERNEL, SIGMA = 11, 5.0
TIE = 1e-9


class Areas(NamedTuple):
    """Under the two curves, in [0, 1]. High insertion and low deletion are good."""

    insertion: float
    deletion: float


def insertion_deletion(model: AnyModel, explained: Explained, image: Tensor, relevance: Tensor, *, step: int | None = None) -> Areas:
    """Both areas of a map (H, W). The score is the probability of what is explained: make that the model's own answer."""
    score = score_of(model, explained, "probability")
    mean = preprocessing_mean(model).to(image)
    return Areas(
        area(curve(score, blurred(image, mean), image, relevance, step=step)),
        area(curve(score, image, mean.expand_as(image), relevance, step=step)),
    )


def curve(score: Score, start: Tensor, end: Tensor, relevance: Tensor, *, step: int | None = None, batch_size: int | None = None) -> Tensor:
    """Scores while the pixels of `start`, the most relevant first, become those of `end`: (ceil(HW / step) + 1,), both ends included.

    start, end: (3, H, W); all channels of a pixel change at once. Equal pixels are ranked by noise of 1e-9 of the largest, seeded.
    """
    pixels = relevance.numel()
    step = math.ceil(pixels / STEPS) if step is None else step
    if step < 1:
        raise UserError(f"step={step} must be at least 1 pixel")
    rank = _ranks(relevance).to(start.device)
    counts = [min(k * step, pixels) for k in range(math.ceil(pixels / step) + 1)]
    scores, at_once = [], BatchSize(batch_size).at(*relevance.shape)
    with torch.no_grad():
        for first in range(0, len(counts), at_once):
            changed = torch.stack([rank < count for count in counts[first : first + at_once]])[:, None]
            scores.append(score(torch.where(changed, end, start)))
    return torch.cat(scores).double().cpu()


def area(scores: Tensor) -> float:
    """(sum s - s_0 / 2 - s_n / 2) / n: the trapezoid rule on [0, 1].

    >>> area(torch.tensor([1.0, 0.5, 0.0]))
    0.5
    """
    return float((scores.sum() - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1))


def blurred(image: Tensor, mean: Tensor) -> Tensor:
    """Insertion's start: a Gaussian of 11 px and sigma 5, zero-padded in normalised space, so that beyond the edge lies the mean colour."""
    x = torch.arange(KERNEL, dtype=image.dtype, device=image.device) - KERNEL // 2
    weights = torch.exp(-(x**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    soft = F.conv2d((image - mean)[:, None], weights[None, None, :, None], padding=(KERNEL // 2, 0))
    soft = F.conv2d(soft, weights[None, None, None, :], padding=(0, KERNEL // 2))
    return (soft[:, 0] + mean).clamp(0, 1)


def _ranks(relevance: Tensor) -> Tensor:
    """The place of each pixel, 0 the most relevant: (H, W)."""
    values = relevance.double().cpu()
    largest = float(values.abs().max())
    noise = torch.rand(values.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    order = (values / (largest or 1.0) + TIE * noise).flatten().argsort(descending=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    return rank.reshape(values.shape)
