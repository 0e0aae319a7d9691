"""Exact paired tests, and corrections for making many of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy


class McNemar(NamedTuple):
    """P-values of McNemar's exact test. one_sided: that B is worse than A. mid_p: two-sided, closer to its nominal size."""

    two_sided: float
    mid_p: float
    one_sided: float


def mcnemar(a_only: int, b_only: int) -> McNemar:
    """Whether two models differ on the same samples. a_only: right for A and wrong for B; b_only: the reverse. Exact at any size.

    >>> round(mcnemar(10, 2).two_sided, 7)
    0.0385742
    """
    if a_only < 0 or b_only < 0:
        raise ValueError(f"counts are not negative, got {a_only} and {b_only}")
    n, few = a_only + b_only, min(a_only, b_only)
    term, below = 1, 0
    for i in range(few):
        below += term
        term = term * (n - i) // (i + 1)
    # term = C(n, few), below = the sum of all smaller ones. Whole numbers to the last division, so that nothing is rounded on the way.
    every = 1 << n
    lower, strictly_lower = (below + term) / every, below / every
    return McNemar(
        two_sided=min(1.0, 2 * (below + term) / every),
        mid_p=min(1.0, (2 * below + term) / every),
        one_sided=lower if a_only > b_only else 1.0 - strictly_lower,
    )


def compare_outcomes(a: Sequence[int], b: Sequence[int]) -> McNemar:
    """McNemar's test of two models' outcomes (0 or 1) on the same samples in the same order."""
    pairs = list(zip(a, b, strict=True))
    return mcnemar(pairs.count((1, 0)), pairs.count((0, 1)))


def sign_flips(differences: Sequence[float]) -> float:
    """One-sided p-value that paired differences, in [-1, 1], have no preference for being positive: by their size, not their sign alone.

    The exact sign-flip test of the differences rounded to 1/256: under the null each is as likely as its opposite. Of differences of one
    size it is the exact sign test.

    >>> sign_flips([1.0] * 10) * 2**10
    1.0
    """
    steps = numpy.rint(256 * numpy.asarray(differences, dtype=float)).astype(int)
    steps = steps[steps != 0]
    total, sizes = int(steps.sum()), numpy.abs(steps)
    if total <= 0:
        return 1.0
    # chances[k]: that the flipped signs sum to k - reach. Halves of halves, never a difference of two large numbers.
    reach = int(sizes.sum())
    chances = numpy.zeros(2 * reach + 1)
    chances[reach], low, high = 1.0, reach, reach + 1
    for size in sizes:
        held = chances[low:high] / 2
        chances[low:high] = 0.0
        chances[low - size : high - size] += held
        chances[low + size : high + size] += held
        low, high = low - size, high + size
    return float(min(1.0, chances[reach + total :].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the chance of any false claim among them (Holm 1979), in the given order.

    >>> holm([0.04, 0.01])
    [0.04, 0.02]
    """
    m, largest = len(p_values), 0.0
    adjusted = [0.0] * m
    for rank, i in enumerate(_ascending(p_values)):
        largest = max(largest, min(1.0, (m - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the expected share of false claims among those made (Benjamini & Hochberg 1995), in the given order.

    >>> benjamini_hochberg([0.04, 0.01])
    [0.04, 0.02]
    """
    m, smallest = len(p_values), 1.0
    adjusted = [0.0] * m
    for rank, i in reversed(list(enumerate(_ascending(p_values), start=1))):
        smallest = min(smallest, m * p_values[i] / rank)
        adjusted[i] = smallest
    return adjusted


def _ascending(p_values: Sequence[float]) -> list[int]:
    wrong = [p for p in p_values if not 0 <= p <= 1]
    if wrong:
        raise ValueError(f"a p-value lies in [0, 1], got {wrong[0]}")
    return sorted(range(len(p_values)), key=lambda i: p_values[i])
