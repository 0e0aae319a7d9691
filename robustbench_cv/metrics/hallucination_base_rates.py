"""How often a class is reported where it never was: what a rate of removed classes that are still reported must be held against.

The question that a removal asks of its image ("is the removed class still reported?") is asked of the placebo, where the object is still
there, and of clean images that never held the class. Project choices, like the rate itself (see `hallucination`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy

from robustbench_cv.arrow_compute import compute
from robustbench_cv.metrics.evidence import Column, Side, aligned, row_of
from robustbench_cv.metrics.hallucination import REPORTED
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.score_intervals import wilson
from robustbench_cv.metrics.t_intervals import interval_of, spread_of


@dataclass(frozen=True)
class BaseRates:
    """placebo: of the images with the same edit where no object is. never_held: of clean images without the class, for each removal."""

    placebo: Estimate
    never_held: Estimate


def base_rates(removal: Side, placebo: Side, clean: Side) -> BaseRates:
    """From the evidence of `reported_classes`, under a removal, under its placebo and of the clean images."""
    under, same_edit, whole = (Column.taken(side, REPORTED) for side in (removal, placebo, clean))
    asks = compute.greater(compute.list_value_length(under.values.field("removed")), 0)
    asked = Column(under.ids.filter(asks), under.values.filter(asks))
    both, there = aligned([asked, same_edit])
    answers = numpy.zeros(len(both), dtype=bool)
    images, enough = _Images.of(there), _enough(both)
    for classes, rows in _questions(both):
        answers[rows] = images.reports(classes)[rows] >= enough[rows]
    return BaseRates(_rate(answers, len(asked)), _never_held(asked, whole))


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


def _never_held(asked: Column, clean: Column) -> Estimate:
    """The mean over removals of the share of clean images without their classes that report them all the same.

    Every image counts twice, as a removal and as one that is asked: its influence is the sum of both. Where every answer is the same there
    is no spread, and the interval is Wilson's of the images that were asked.
    """
    answers = _ask(asked, clean)
    shares = answers.seen[answers.apt > 0] / answers.apt[answers.apt > 0]
    n = len(shares)
    if n == 0:
        return Estimate(None, None, None, 0, len(asked), reason="no clean image is without the removed classes")
    value, others = float(shares.mean()), len(asked) - n
    if value in (0.0, 1.0):
        images = int(answers.was_asked.sum())
        return Estimate(value, *wilson(round(value * images), images), n, others)
    if n == 1:
        return Estimate(value, None, None, n, others, reason="no interval: one removal shows no spread")
    return Estimate(value, *interval_of(value, spread_of(_influence(answers, value)), (0.0, 1.0), n), n, others)


class _Answers(NamedTuple):
    """Of R removals asked of M clean images. own: the row of a removal's own image among the clean ones, -1 where it is not there (R,).

    apt, seen: clean images without the removed classes, its own left out, and those of them that report them (R,). was_asked (M,).
    as_asked: of each clean image, the sum over removals of what its answer adds to the removal's share (M,).
    """

    own: numpy.ndarray
    apt: numpy.ndarray
    seen: numpy.ndarray
    was_asked: numpy.ndarray
    as_asked: numpy.ndarray


def _ask(asked: Column, clean: Column) -> _Answers:
    images, enough = _Images.of(clean), _enough(asked)
    own = compute.fill_null(compute.index_in(asked.ids, value_set=clean.ids), -1).to_numpy()
    apt, seen = (numpy.zeros(len(asked)) for _ in range(2))
    made = _Answers(own, apt, seen, numpy.zeros(len(clean), dtype=bool), numpy.zeros(len(clean)))
    for classes, of_classes in _questions(asked):
        amount, without = images.reports(classes), ~images.hold(classes)
        for least in numpy.unique(enough[of_classes]):
            _add(made, of_classes[enough[of_classes] == least], without, without & (amount >= least))
    return made


def _add(made: _Answers, rows: numpy.ndarray, apt: numpy.ndarray, seen: numpy.ndarray) -> None:
    """The answers to removals that ask the same question, of which only their own image differs."""
    own = made.own[rows]
    own_apt, own_seen = (numpy.where(own >= 0, side[own], False) for side in (apt, seen))
    made.apt[rows], made.seen[rows] = apt.sum() - own_apt, seen.sum() - own_seen
    rows, own, own_apt, own_seen = (part[made.apt[rows] > 0] for part in (rows, own, own_apt, own_seen))
    if not len(rows):
        return
    weight, share = 1 / made.apt[rows], made.seen[rows] / made.apt[rows]
    made.as_asked[:] += weight.sum() * seen - (share * weight).sum() * apt
    inside = own >= 0
    numpy.subtract.at(made.as_asked, own[inside], (weight * (own_seen - share * own_apt))[inside])
    # an image that a single removal asks alone is its own, and is not asked
    made.was_asked[:] |= apt if len(rows) > 1 else apt & (numpy.arange(len(apt)) != own[0])


def _influence(answers: _Answers, value: float) -> numpy.ndarray:
    """Of every image, clean or removed from: what it adds as a removal and as one that is asked."""
    chosen = answers.apt > 0
    as_removal, own = answers.seen[chosen] / answers.apt[chosen] - value, answers.own[chosen]
    of_clean = answers.as_asked.copy()
    numpy.add.at(of_clean, own[own >= 0], as_removal[own >= 0])
    return numpy.concatenate([of_clean, as_removal[own < 0]]) / len(as_removal)
