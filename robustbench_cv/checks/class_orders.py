"""Orders in which class names may have been written down, and the one that a model's own answers speak for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

Order = NDArray[numpy.int64]
"""order[predicted index] = the index that it means."""

_PRIOR = 1.0
"""Answers by which a class's own name is ahead: of classes that are hardly seen, none is renamed (project choice)."""

_FOLDS = 4


class Said(NamedTuple):
    """What a model says of something whose class is known."""

    truth: int
    predicted: int


def known_orders(names: Sequence[str]) -> dict[str, Order]:
    """Rotations of the indices by what is added ("+1", "-1", ...), the reversal, and sorted by name, on the model's side or the data's."""
    k = len(names)
    own = numpy.arange(k)
    steps = sorted(range(1, k), key=lambda d: (min(d, k - d), d > k / 2))
    orders = {f"{d if d <= k / 2 else d - k:+d}": (own + d) % k for d in steps}
    orders["reversed"] = own[::-1].copy()
    by_name = numpy.array(sorted(range(k), key=lambda i: names[i]))
    orders["the model's classes are sorted by name"] = by_name
    orders["the data's classes are sorted by name"] = numpy.argsort(by_name)
    by_text = numpy.array(sorted(range(k), key=str))
    orders["the model's class numbers are sorted as text (0, 1, 10, 11, ...)"] = by_text
    orders["the data's class numbers are sorted as text (0, 1, 10, 11, ...)"] = numpy.argsort(by_text)
    distinct = {order.tobytes(): name for name, order in reversed(orders.items()) if (order != own).any()}
    return {name: order for name, order in orders.items() if distinct.get(order.tobytes()) == name}


def learned_order(pairs: Iterable[Said], classes: int) -> Order:
    """The one-to-one renaming under which most answers are right (Kuhn 1955), a class keeping its own name unless more is against it."""
    counts = Counter(pairs)
    told = {p for p in counts if p.truth < classes and 0 <= p.predicted < classes}
    involved = sorted({i for p in told for i in p if p.truth != p.predicted})
    order = numpy.arange(classes)
    if not involved:
        return order
    place = {c: i for i, c in enumerate(involved)}
    profit = _PRIOR * numpy.eye(len(involved))
    for pair in told:
        if pair.truth in place and pair.predicted in place:
            profit[place[pair.predicted], place[pair.truth]] += counts[pair]
    order[involved] = numpy.array(involved)[assign(-profit)]
    return order


def cross_renamed(said: Sequence[Sequence[Said]], classes: int) -> list[list[Said]]:
    """Every sample after the renaming that the other samples speak for, in four parts drawn at random with a fixed seed."""
    part = numpy.random.default_rng(0).permutation(len(said)) % _FOLDS
    orders = [learned_order([p for s, f in zip(said, part, strict=True) if f != fold for p in s], classes) for fold in range(_FOLDS)]
    return [renamed(of_sample, orders[fold]) for of_sample, fold in zip(said, part, strict=True)]


def renamed(said: Iterable[Said], order: Order) -> list[Said]:
    """What was said, read in another order; indices beyond the order's are left as they are."""
    return [Said(p.truth, int(order[p.predicted]) if 0 <= p.predicted < len(order) else p.predicted) for p in said]


def assign(cost: NDArray[numpy.float64]) -> Order:
    """For each row of a square matrix its column, at the least total cost: the Hungarian method by shortest augmenting paths, O(n^3).

    >>> assign(numpy.array([[4.0, 1.0], [2.0, 3.0]])).tolist()
    [1, 0]
    """
    n = len(cost)
    row_of = numpy.full(n + 1, -1)  # of each column; column n starts a path
    u, v = numpy.zeros(n), numpy.zeros(n + 1)
    for row in range(n):
        row_of[n], column = row, n
        shortest, before, visited = numpy.full(n, numpy.inf), numpy.full(n, n), numpy.zeros(n + 1, dtype=bool)
        while row_of[column] >= 0:
            visited[column] = True
            reduced = cost[row_of[column]] - u[row_of[column]] - v[:n]
            better = ~visited[:n] & (reduced < shortest)
            shortest[better], before[better] = reduced[better], column
            nearest = int(numpy.where(visited[:n], numpy.inf, shortest).argmin())
            delta = shortest[nearest]
            u[row_of[visited]] += delta
            v[visited] -= delta
            shortest[~visited[:n]] -= delta
            column = nearest
        while column != n:
            row_of[column] = row_of[before[column]]
            column = int(before[column])
    out = numpy.empty(n, dtype=numpy.int64)
    out[row_of[:n]] = numpy.arange(n)
    return out
