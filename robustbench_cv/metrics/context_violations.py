"""How often losing some other class hurts the score of an object's class more than losing the object: V_min and V_mean.

The comparison of Shetty, Schiele, Fritz, CVPR 2019 (arXiv:1812.06707). The paper's names; its exact formulas could not be read, these are
project choices. Scores are probabilities, as V_min asks of their order alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy

from robustbench_cv.arrow_compute import compute
from robustbench_cv.metrics.evidence import Column, Side, aligned
from robustbench_cv.metrics.label_probability import PROBABILITY
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.score_intervals import wilson

TIE = 1e-6
"""Scores so close are equal, which is no violation."""

FEWEST = 20
"""Images that a class needs to count in the mean over classes (project choice)."""

LARGEST = 5.0
"""Context reliance is clipped to [0, 5] (project choice)."""


class Violations(NamedTuple):
    """Of images with another removable class, their object removable too.

    v_min, v_mean: shares of the images in which the most harmful removal of another class, and the mean over them, leaves less of the
    object's score than removing the object does. v_min_macro, v_mean_macro: means over the classes with 20 images or more, None where there
    is none. reliance: median of (s0 - min_k s_k) / (s0 - s_self), in [0, 5].
    """

    v_min: Estimate
    v_mean: Estimate
    v_min_macro: float | None
    v_mean_macro: float | None
    reliance: float | None


def violations(removed: Side, before: Side, others: Sequence[Side]) -> Violations:
    """removed: after the object's removal; before: of the unedited image; others: after the removal of each other class, where it has one.

    All sides are evidence of `label-probability` by sample.
    """
    own, whole = aligned([Column.taken(side, PROBABILITY) for side in (removed, before)])
    labels, s_self = _labels(own), _scores(own)
    s_zero = _scores(whole)
    kept = numpy.full((len(others), len(own)), numpy.nan)
    for row, side in zip(kept, (Column.taken(other, PROBABILITY) for other in others), strict=True):
        at = compute.fill_null(compute.index_in(own.ids, value_set=side.ids), -1).to_numpy()
        row[at >= 0] = _scores(side)[at[at >= 0]]
    served = ~numpy.isnan(kept).all(axis=0) if len(others) else numpy.zeros(len(own), dtype=bool)
    n, excluded = int(served.sum()), int((~served).sum())
    if not n:
        nothing = Estimate(None, None, None, 0, excluded, reason="no image has another class that can be removed beside its object")
        return Violations(nothing, nothing, None, None, None)
    least, mean = numpy.nanmin(kept[:, served], axis=0), numpy.nanmean(kept[:, served], axis=0)
    s_self, s_zero, labels = s_self[served], s_zero[served], labels[served]
    by_min, by_mean = (side < s_self - TIE for side in (least, mean))
    reliance = ((s_zero - least) / numpy.maximum(s_zero - s_self, TIE)).clip(0, LARGEST)
    return Violations(
        _rate(by_min, excluded),
        _rate(by_mean, excluded),
        _macro(by_min, labels),
        _macro(by_mean, labels),
        float(numpy.median(reliance)),
    )


def _rate(outcomes: numpy.ndarray, excluded: int) -> Estimate:
    k, n = int(outcomes.sum()), len(outcomes)
    return Estimate(k / n, *wilson(k, n), n, excluded)


def _macro(outcomes: numpy.ndarray, labels: numpy.ndarray) -> float | None:
    shares = [outcomes[labels == label].mean() for label in numpy.unique(labels) if (labels == label).sum() >= FEWEST]
    return float(numpy.mean(shares)) if shares else None


def _labels(side: Column) -> numpy.ndarray:
    labels: numpy.ndarray = side.values.field("label").to_numpy(zero_copy_only=False)
    return labels


def _scores(side: Column) -> numpy.ndarray:
    scores: numpy.ndarray = side.values.field("probability").to_numpy(zero_copy_only=False)
    return scores
