"""The gradient summed on the way from an empty image to this one, times the way: what each pixel adds to the score.

Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, arXiv:1703.01365.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_cv.batching import BatchSize
from robustbench_cv.errors import UserError
from robustbench_cv.explain.gradient import input_gradient
from robustbench_cv.explain.targets import Explained, Score, score_of
from robustbench_cv.types import AnyModel

logger = logging.getLogger(__name__)

BASELINES = {"black": 0.0, "gray": 0.5}
GAP = 0.05
"""Share of the score's difference by which the sum may miss it (the paper's section 5: "within 5 %")."""


class Attribution(NamedTuple):
    """map: signed (H, W), summed over channels. difference: score(x) - score(baseline), which the map's sum should equal."""

    map: Tensor
    difference: float

    @property
    def gap(self) -> float:
        """How far the map's sum is from the difference, as a share of it; of one point of probability where it is less."""
        return abs(float(self.map.sum(dtype=torch.float64)) - self.difference) / max(abs(self.difference), 0.01)


def integrated_gradients(
    model: AnyModel,
    explained: Explained,
    image: Tensor,
    *,
    baseline: str = "black",
    steps: int = 32,
    most: int = 128,
    batch_size: int | None = None,
) -> Tensor:
    """(x - x') times the mean gradient of the probability between x' and x, summed over channels: (H, W), signed.

    baseline: "black" (the paper's) or "gray". Completeness is checked: the number of points is doubled, from `steps` up to `most`, until
    the sum is within 5 % of score(x) - score(x'); a warning is logged where that is not reached.
    """
    if baseline not in BASELINES:
        raise UserError(f"no baseline named {baseline!r}; choose one of {sorted(BASELINES)}")
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size={batch_size} must be at least 1")
    if not 1 <= steps <= most:
        raise UserError(f"steps={steps} must be from 1 to most={most}")
    score = score_of(model, explained, "probability")
    start = torch.full_like(image, BASELINES[baseline])
    while True:
        found = integrate(score, image, start, steps, batch_size=batch_size, name=model.info.name)
        if found.gap <= GAP or 2 * steps > most:
            break
        steps *= 2
    if found.gap > GAP:
        logger.warning("integrated gradients miss the score's difference by %.0f %% with %d steps", 100 * found.gap, steps)
    return found.map.float()


def integrate(
    score: Score, image: Tensor, start: Tensor, steps: int, *, batch_size: int | None = None, name: str = "the model"
) -> Attribution:
    """Riemann sum at the midpoints of `steps` equal parts of the straight line from `start` to the image, both (3, H, W)."""
    total, at_once = torch.zeros_like(image), BatchSize(batch_size, limit=16).at(*image.shape[-2:])
    for first in range(0, steps, at_once):
        at = (torch.arange(first, min(first + at_once, steps), device=image.device, dtype=image.dtype) + 0.5) / steps
        total += input_gradient(score, start + at[:, None, None, None] * (image - start), name).sum(dim=0)
    with torch.no_grad():
        difference = float(score(image[None])[0] - score(start[None])[0])
    return Attribution(((image - start) * total / steps).sum(dim=0).cpu(), difference)
