"""Comparing what a model gives for the same images twice: what the checks of mode, batch, randomness and precision share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from robustbench_cv.types import BoxPrediction, Candidates, ClassPrediction, MaskPrediction, Prediction, Raw


def has_output(raw: Raw) -> bool:
    """Whether there is anything to compare: a finite score, or a candidate."""
    return bool(raw.valid.any()) if isinstance(raw, Candidates) else bool(raw.values.isfinite().any())


def nothing_reported(predictions: Iterable[Prediction]) -> bool:
    """Whether all of them are of a detector that found nothing: two such agree whatever was done to the images."""
    return all(isinstance(p, BoxPrediction) and len(p.boxes) == 0 for p in predictions)


def comparable(raw: Raw) -> Tensor:
    """Numbers of a raw output that can be compared: a row each, best first for candidates, whose order and count may depend on padding."""
    if not isinstance(raw, Candidates):
        return raw.values.detach().float().flatten(1).nan_to_num()
    best = raw.log_score.detach().float().amax(-1).masked_fill(~raw.valid, -torch.inf).exp().nan_to_num()
    return best.sort(dim=1, descending=True).values[:, :10]


def gap(a: Tensor, b: Tensor) -> float:
    """The greatest difference of two comparable outputs of the same images."""
    width = min(a.shape[1], b.shape[1])
    return float((a[:, :width] - b[:, :width]).abs().max()) if width else 0.0


def differ(one: Prediction, other: Prediction, operating_score: float) -> bool:
    """Whether two predictions of one image say something else: another class, 1 % of the pixels, another set of reported labels."""
    if isinstance(one, ClassPrediction) and isinstance(other, ClassPrediction):
        return one.label != other.label
    if isinstance(one, MaskPrediction) and isinstance(other, MaskPrediction):
        return float((one.labels != other.labels).float().mean()) > 0.01
    assert isinstance(one, BoxPrediction)
    assert isinstance(other, BoxPrediction)
    said = [sorted(p.labels[p.scores >= operating_score].tolist()) for p in (one, other)]
    return said[0] != said[1]
