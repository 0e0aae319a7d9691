"""An interval from influences: Student's t, with the degrees of freedom that their spread allows, on a scale that fits the range."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy

from robustbench_cv.metrics.score_intervals import Interval, wilson

LEAST_DF = 3.0
"""Degrees of freedom never count for fewer: the quantile is a series that would not hold below (project choice)."""

_END = 1e-12  # closer to an end than any rounding


class Spread(NamedTuple):
    """Standard error of a number, and the degrees of freedom of its estimate."""

    error: float
    df: float


def spread_of(influence: numpy.ndarray, *, floor: float = 0.0) -> Spread:
    """From the influences of M samples or groups. floor: a standard error to be added, for what so few samples cannot have shown.

    The degrees of freedom are those of the variance's own estimate, 2 V^2 / var(V) (Satterthwaite 1946,
    https://doi.org/10.2307/3002019), with var(V) from the influences: few samples that carry all of a number give few.
    """
    m = len(influence)
    squares = influence**2
    # m / (m - 1) once for the mean that the influences are taken around, and once as leaving each one out would have it.
    variance = float(squares.sum()) * (m / max(1, m - 1)) ** 2
    noise = float((squares**2).sum()) - float(squares.sum()) ** 2 / m
    df = 2 * float(squares.sum()) ** 2 / noise if noise > 1e-9 * float((squares**2).sum()) > 0 else math.inf
    return Spread(math.sqrt(variance + floor**2), min(max(df, LEAST_DF), m - 1.0))


def interval_of(centre: float, spread: Spread, bounds: tuple[float, float | None] | None, n: int, *, level: float = 0.95) -> Interval:
    """Of a number around its centre. bounds: its least and largest value, None for no limit; n: samples behind it.

    Symmetric on the logit scale for a number in [0, a] or [-a, a], on the log scale for one without a largest value, else as it is. A
    number that lies at an end, without any spread, has the end that n samples with one outcome would have: Wilson's, or Poisson's for a
    count.
    """
    if bounds is not None and bounds[1] is not None and bounds != (0.0, 1.0) and bounds[0] in (0.0, -bounds[1]):
        low, side = bounds[0], bounds[1] - bounds[0]
        made = interval_of((centre - low) / side, Spread(spread.error / side, spread.df), (0.0, 1.0), n, level=level)
        return Interval(low + side * made.low, low + side * made.high)
    step = student(spread.df, level) * spread.error
    if bounds == (0.0, 1.0):
        if centre <= _END:
            return Interval(0.0, min(1.0, max(step, wilson(0, n, level=level).high)))
        if centre >= 1.0 - _END:
            return Interval(max(0.0, min(1 - step, wilson(n, n, level=level).low)), 1.0)
        return _on_scale(centre, step / (centre * (1 - centre)), lambda p: math.log(p / (1 - p)), lambda x: 1 / (1 + math.exp(-x)))
    if bounds == (0.0, None):
        if centre <= 0.0:
            return Interval(0.0, max(step, -math.log((1 - level) / 2) / n))
        return _on_scale(centre, step / centre, math.log, math.exp)
    return Interval(centre - step, centre + step)


def _on_scale(centre: float, step: float, there: Callable[[float], float], back: Callable[[float], float]) -> Interval:
    step = min(step, 50.0)  # beyond it lies 1e-21 of either end
    return Interval(back(there(centre) - step), back(there(centre) + step))


def student(df: float, level: float = 0.95) -> float:
    """The quantile of Student's t that bounds a two-sided interval: expansion 26.7.5 of Abramowitz & Stegun; 0.5 % off at df = 3.

    >>> round(student(30), 3), round(student(10), 3)
    (2.042, 2.228)
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / df ** (k + 1) for k, term in enumerate(terms))
