"""How often a class is reported where it never was: what a rate of removed classes that are still reported must be held against.

The question that a removal asks of its image ("is the removed class still reported?") is asked of the placebo, where the object is still
there, and of clean images that never held the class. Project choices, like the rate itself (see `hallucination`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy
import pyarrow
import pyarrow.compute

from robustbench_cv.metrics.evidence import Column, Side, aligned, row_of
from robustbench_cv.metrics.hallucination import REPORTED
from robustbench_cv.metrics.intervals import RESAMPLES, bootstrap_counts, percentile, wilson
from robustbench_cv.metrics.metric import Estimate


@dataclass(frozen=True)
class BaseRates:
    """placebo: of the images with the same edit where no object is. never_held: of clean images without the class, for each removal."""

    placebo: Estimate
    never_held: Estimate


def base_rates(removal: Side, placebo: Side, clean: Side, *, seed: int = 0) -> BaseRates:
    """From the evidence of `reported_classes`, under a removal, under its placebo and of the clean images."""
    under, same_edit, whole = (Column.taken(side, REPORTED) for side in (removal, placebo, clean))
    asks = pyarrow.compute.greater(pyarrow.compute.list_value_length(under.values.field("removed")), 0)
    asked = Column(under.ids.filter(asks), under.values.filter(asks))
    both, there = aligned([asked, same_edit])
    answers = numpy.zeros(len(both), dtype=bool)
    images, enough = _Images.of(there), _enough(both)
    for classes, rows in _questions(both):
        answers[rows] = images.reports(classes)[rows] >= enough[rows]
    return BaseRates(_rate(answers, len(asked)), _never_held(asked, whole, seed))


class _Images(NamedTuple):
    """What N images report and hold, item by item: the row of its image and the class; of what is reported also how much of it."""

    n: int
    seen_in: numpy.ndarray
    seen: numpy.ndarray
    amount: numpy.ndarray
    held_in: numpy.ndarray
    held: numpy.ndarray

    @classmethod
    def of(cls, side: Column) -> _Images:
        seen, held = side.values.field("seen"), side.values.field("held")
        classes, amounts = (seen.flatten().field(k).to_numpy() for k in ("class", "amount"))
        return cls(len(side), row_of(seen), classes, amounts, row_of(held), held.flatten().to_numpy())

    def reports(self, classes: Sequence[int]) -> numpy.ndarray:
        """How much each image reports of some classes together: (N,)."""
        chosen = numpy.isin(self.seen, classes)
        return numpy.bincount(self.seen_in[chosen], weights=self.amount[chosen], minlength=self.n)

    def hold(self, classes: Sequence[int]) -> numpy.ndarray:
        """Whether each image holds any of some classes: bool (N,)."""
        return numpy.bincount(self.held_in[numpy.isin(self.held, classes)], minlength=self.n) > 0


def _questions(asked: Column) -> Iterator[tuple[tuple[int, ...], numpy.ndarray]]:
    """Each set of removed classes with the rows of the removals that took it."""
    rows: dict[tuple[int, ...], list[int]] = {}
    for row, classes in enumerate(asked.values.field("removed").to_pylist()):
        rows.setdefault(tuple(classes), []).append(row)
    for classes, those in rows.items():
        yield classes, numpy.array(those)


def _enough(asked: Column) -> numpy.ndarray:
    """How much of the removed classes must be seen to count as reported: (N,)."""
    enough: numpy.ndarray = asked.values.field("enough").to_numpy()
    return enough


def _rate(answers: numpy.ndarray, asked: int) -> Estimate:
    n = len(answers)
    if n == 0:
        return Estimate(None, None, None, 0, asked, reason="no removal has a placebo")
    return Estimate(int(answers.sum()) / n, *wilson(int(answers.sum()), n), n, asked - n)


def _never_held(asked: Column, clean: Column, seed: int) -> Estimate:
    """The mean over removals of the share of clean images without their classes that report them all the same.

    The interval draws images: one that is drawn twice counts twice, as a removal and as an image that is asked. Where every answer is the
    same, draws cannot differ, and the interval is Wilson's of the images that were asked.
    """
    images, enough = _Images.of(clean), _enough(asked)
    apt, seen = (numpy.zeros((len(asked), len(clean)), dtype=bool) for _ in range(2))
    for classes, rows in _questions(asked):
        apt[rows] = ~images.hold(classes)
        seen[rows] = images.reports(classes) >= enough[rows, None]
    own = pyarrow.compute.index_in(asked.ids, value_set=clean.ids).to_numpy(zero_copy_only=False)
    there = ~numpy.isnan(own.astype(numpy.float64))
    apt[there, own[there].astype(numpy.intp)] = False
    if not apt.any():
        return Estimate(None, None, None, 0, len(asked), reason="no clean image is without the removed classes")
    seen &= apt
    ids = [*asked.ids.to_pylist()], [*clean.ids.to_pylist()]
    place = {image: k for k, image in enumerate(sorted({*ids[0], *ids[1]}))}
    rows = numpy.flatnonzero(apt.any(axis=1))
    removals, others = [place[ids[0][k]] for k in rows], [place[i] for i in ids[1]]
    n = len(rows)
    value = float((seen[rows].sum(axis=1) / apt[rows].sum(axis=1)).mean())
    if value in (0.0, 1.0):
        images_asked = int(apt[rows].any(axis=0).sum())
        return Estimate(value, *wilson(round(value * images_asked), images_asked), n, len(asked) - n)
    drawn = bootstrap_counts(len(place), RESAMPLES, seed).astype(numpy.float64)
    parts = seen[rows].astype(numpy.float64), apt[rows].astype(numpy.float64)
    bounds = percentile(_weighted_mean(*parts, drawn.take(removals, axis=1), drawn.take(others, axis=1))) if n > 1 else None
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
