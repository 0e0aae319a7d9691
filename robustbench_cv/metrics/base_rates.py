"""How often a class is reported where it never was: what a rate of removed classes that are still reported must be held against.

The question that a removal asks of its image ("is the removed class still reported?") is asked of the placebo, where the object is still
there, and of clean images that never held the class. Project choices, like the rate itself (see `hallucination`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy

from robustbench_cv.metrics.intervals import RESAMPLES, bootstrap_counts, percentile, wilson
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.types import Evidence


@dataclass(frozen=True)
class BaseRates:
    """placebo: of the images with the same edit where no object is. never_held: of clean images without the class, for each removal."""

    placebo: Estimate
    never_held: Estimate


def base_rates(
    removal: Mapping[str, Evidence], placebo: Mapping[str, Evidence], clean: Mapping[str, Evidence], *, seed: int = 0
) -> BaseRates:
    """From the evidence of `reported_classes` by sample id, under a removal, under its placebo and of the clean images."""
    asked = {i: e for i, e in removal.items() if e["removed"]}
    answers = [_is_reported(e, placebo[i]) for i, e in asked.items() if i in placebo]
    return BaseRates(_rate(answers, len(asked)), _never_held(asked, clean, seed))


def _is_reported(question: Evidence, there: Evidence) -> bool:
    """Whether the classes that one removal took are reported in another image, by the removal's own measure of enough."""
    return bool(sum(there["seen"].get(str(c), 0) for c in question["removed"]) >= question["enough"])


def _rate(answers: list[bool], asked: int) -> Estimate:
    if not answers:
        return Estimate(None, None, None, 0, asked, reason="no removal has a placebo")
    return Estimate(sum(answers) / len(answers), *wilson(sum(answers), len(answers)), len(answers), asked - len(answers))


def _never_held(asked: Mapping[str, Evidence], clean: Mapping[str, Evidence], seed: int) -> Estimate:
    """The mean over removals of the share of clean images without their classes that report them all the same.

    The interval draws images: one that is drawn twice counts twice, as a removal and as an image that is asked. Where every answer is the
    same, draws cannot differ, and the interval is Wilson's of the images that were asked.
    """
    apt = numpy.array(
        [[i != m and not set(q["removed"]) & set(there["held"]) for m, there in clean.items()] for i, q in asked.items()], dtype=bool
    ).reshape(len(asked), len(clean))
    if not apt.any():
        return Estimate(None, None, None, 0, len(asked), reason="no clean image is without the removed classes")
    seen = numpy.array([[_is_reported(q, there) for there in clean.values()] for q in asked.values()], dtype=bool) & apt
    place = {image: k for k, image in enumerate(sorted({*asked, *clean}))}
    rows = [k for k in range(len(asked)) if apt[k].any()]
    removals, images = ([place[i] for i in chosen] for chosen in ([list(asked)[k] for k in rows], list(clean)))
    n = len(rows)
    value = float((seen[rows].sum(axis=1) / apt[rows].sum(axis=1)).mean())
    if value in (0.0, 1.0):
        images_asked = int(apt[rows].any(axis=0).sum())
        return Estimate(value, *wilson(round(value * images_asked), images_asked), n, len(asked) - n)
    drawn = bootstrap_counts(len(place), RESAMPLES, seed).astype(numpy.float64)
    parts = seen[rows].astype(numpy.float64), apt[rows].astype(numpy.float64)
    bounds = percentile(_weighted_mean(*parts, drawn.take(removals, axis=1), drawn.take(images, axis=1))) if n > 1 else None
    low, high = (None, None) if bounds is None else bounds
    return Estimate(value, low, high, n, len(asked) - n, reason="" if bounds else "no interval: one removal cannot be resampled")


def _weighted_mean(seen: numpy.ndarray, apt: numpy.ndarray, removals: numpy.ndarray, images: numpy.ndarray) -> numpy.ndarray:
    """The mean under each draw: seen, apt (removals, images); weights (draws, removals) and (draws, images). NaN where nothing is drawn."""
    hits, chances = images @ seen.T, images @ apt.T
    defined = (chances > 0) * removals
    shares = numpy.divide(hits, chances, out=numpy.zeros_like(hits), where=chances > 0)
    total = defined.sum(axis=1)
    mean: numpy.ndarray = numpy.divide((shares * defined).sum(axis=1), total, out=numpy.full(len(total), numpy.nan), where=total > 0)
    return mean
