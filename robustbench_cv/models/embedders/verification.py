"""Are two embeddings of the same? Distances, the threshold at a false-accept rate, and how often the answer is right."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Verification(NamedTuple):
    """Rates (0-1) at a threshold: pairs nearer than it are accepted as the same.

    true_accept: accepted among pairs of the same; false_accept: among pairs of different ones; accuracy: right answers among all pairs.
    """

    threshold: float
    true_accept: float
    false_accept: float
    accuracy: float


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared Euclidean distance of each pair of rows, (N, D) and (N, D) -> (N,): 0 to 4 for embeddings of length 1."""
    return (first - second).square().sum(dim=1)


def threshold_at(false_accepts: float, different: Tensor) -> float:
    """The largest threshold at which at most this share of pairs of different ones is accepted.

    different: their distances, (N,). Accepted is what lies strictly below, so equal distances fall together, and infinity accepts all.
    ValueError for a rate outside 0-1 or no pairs.

    >>> threshold_at(0.25, torch.tensor([3.0, 1.0, 2.0, 4.0]))
    2.0
    """
    if not 0 <= false_accepts <= 1:
        raise ValueError(f"a false-accept rate is between 0 and 1, not {false_accepts}")
    if len(different) == 0:
        raise ValueError("a threshold needs at least one pair of different ones")
    allowed = math.floor(false_accepts * len(different) + 1e-9)
    return float(different.sort().values[allowed]) if allowed < len(different) else math.inf


def judge(distances: Tensor, same: Tensor, threshold: float) -> Verification:
    """How pairs (distances (N,), same: bool (N,)) fare at a threshold. ValueError where there are no pairs of one kind."""
    if not same.any() or same.all():
        raise ValueError("verification needs pairs of the same and pairs of different ones")
    accepted = distances < threshold
    return Verification(
        threshold,
        float(accepted[same].double().mean()),
        float(accepted[~same].double().mean()),
        float((accepted == same).double().mean()),
    )


def verify(distances: Tensor, same: Tensor, false_accepts: float = 1e-3) -> Verification:
    """`judge` at the threshold of a false-accept rate, taken on the same pairs: FaceNet's VAL at FAR.

    For an honest figure take the threshold from other pairs: `judge(distances, same, threshold_at(rate, others))`.
    """
    return judge(distances, same, threshold_at(false_accepts, distances[~same]))


def apart(first: Tensor, second: Tensor) -> Tensor:
    """Squared distances of all rows to all rows, (N, D) and (M, D) -> (N, M)."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist").square()
