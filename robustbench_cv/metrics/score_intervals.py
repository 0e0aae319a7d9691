"""Intervals of rates, from the score test, for any number of samples: of one rate, and of the difference of two on the same samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    low: float
    high: float


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Interval of a rate (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953); serves 0 and n successes too.

    >>> wilson(0, 20).high
    0.16112515805281938
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"0 <= successes <= n and n > 0, got {successes} of {n}")
    z = _z(level)
    p, scale = successes / n, 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Interval(0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def tango(a_only: int, b_only: int, n: int, *, level: float = 0.95) -> Interval:
    """Interval of the difference of two rates on the same n samples: rate of A minus rate of B.

    a_only: right for A and wrong for B; b_only: the reverse. The differences that the score test does not reject (Tango 1998,
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B): never of width zero, however few samples differ.

    >>> [round(bound, 4) for bound in tango(0, 0, 32)]
    [-0.1072, 0.1072]
    """
    if min(a_only, b_only) < 0 or a_only + b_only > n or n == 0:
        raise ValueError(f"samples that differ are some of all n > 0, got {a_only} and {b_only} of {n}")
    z, difference = _z(level), (a_only - b_only) / n
    low = _root(lambda d: tango_score(a_only, b_only, n, d) - z, -1.0, difference)
    high = _root(lambda d: tango_score(a_only, b_only, n, d) + z, difference, 1.0)
    return Interval(low, high)


def tango_score(a_only: int, b_only: int, n: int, difference: float) -> float:
    """The score statistic of a difference, at the likeliest share of samples that only B has right, given it (Tango's equation 9)."""
    b = -a_only - b_only + (2 * n - a_only + b_only) * difference
    c = -b_only * difference * (1 - difference)
    only_b = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * only_b + difference * (1 - difference))
    distance = a_only - b_only - n * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0; an end where it does not."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def _z(level: float) -> float:
    """Of a two-sided interval; at 95 % the value that is printed everywhere, 1.959963984540054."""
    return _Z95 if level == 0.95 else NormalDist().inv_cdf((1 + level) / 2)


_Z95 = 1.959963984540054
