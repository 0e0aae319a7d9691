"""Receptive fields along one axis: which input positions each position of a layer depends on, exactly, on an unbounded axis.

A layer's positions repeat with a period (more than 1 where something was upsampled), so a `AxisField` holds one period. Every layer that
looks at a window of positions is one function, `through`: convolutions, pooling, transposed convolutions, upsampling, padding, slicing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class AxisField:
    """Position i of a layer depends on the input positions first[i] to last[i]; position i + period on those `step` further.

    The borders of the image are ignored, as theoretical receptive fields do.
    """

    first: tuple[int, ...] = (0,)
    last: tuple[int, ...] = (0,)
    step: int = 1

    @property
    def period(self) -> int:
        return len(self.first)

    @property
    def size(self) -> int:
        """The receptive field: input positions from the first to the last, at the position that sees most."""
        return max(last - first + 1 for first, last in zip(self.first, self.last, strict=True))

    @property
    def stride(self) -> Fraction:
        """Input positions from one position to the next, on average; below 1 after upsampling."""
        return Fraction(self.step, self.period)

    def at(self, position: int) -> tuple[int, int]:
        """First and last input position that `position` depends on.

        >>> convolved(AxisField(), kernel=3, stride=2, padding=1).at(5)
        (9, 11)
        """
        times, phase = divmod(position, self.period)
        return self.first[phase] + times * self.step, self.last[phase] + times * self.step


Places = Callable[[int], tuple[int, int]]
"""First and last input position of a window, by output position."""


def through(reach: AxisField, places: Places, outputs: int, inputs: int) -> AxisField:
    """The reach behind a layer whose window moves by `inputs` positions for every `outputs` positions of its own."""
    turns = reach.period // math.gcd(reach.period, inputs)
    period = outputs * turns
    windows = [places(i) for i in range(period)]
    first = tuple(reach.at(low)[0] for low, _ in windows)
    last = tuple(reach.at(high)[1] for _, high in windows)
    return AxisField(first, last, reach.step * turns * inputs // reach.period)


def convolved(reach: AxisField, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> AxisField:
    """Behind a convolution or a pooling.

    >>> convolved(convolved(AxisField(), 3), 3).size
    5
    """
    reached = (kernel - 1) * dilation
    return through(reach, lambda i: (i * stride - padding, i * stride - padding + reached), 1, stride)


def deconvolved(reach: AxisField, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> AxisField:
    """Behind a transposed convolution: output i sums the taps t for which (i + padding - t dilation) / stride is a position."""

    def places(i: int) -> tuple[int, int]:
        taps = [(i + padding - t * dilation) // stride for t in range(kernel) if (i + padding - t * dilation) % stride == 0]
        nearest = (i + padding) // stride  # where the stride exceeds the kernel, some outputs see nothing
        return (min(taps), max(taps)) if taps else (nearest, nearest)

    return through(reach, places, stride, 1)


def resized(reach: AxisField, inputs: int, outputs: int, taps: int) -> AxisField:
    """Behind an interpolation from `inputs` to `outputs` positions. taps: 1 nearest, 2 linear, 4 cubic; half-pixel centres."""
    ratio = _ratio(inputs, outputs)

    def places(i: int) -> tuple[int, int]:
        if taps == 1:
            nearest = math.floor(i * ratio)
            return nearest, nearest
        at = (i + Fraction(1, 2)) * ratio - Fraction(1, 2)
        low, more = math.floor(at), taps // 2 - 1
        return (low, low) if at == low else (low - more, low + 1 + more)

    return through(reach, places, ratio.denominator, ratio.numerator)


def pooled(reach: AxisField, inputs: int, outputs: int) -> AxisField:
    """Behind an adaptive pooling from `inputs` to `outputs` positions."""
    ratio = Fraction(inputs, outputs)
    return through(reach, lambda i: (math.floor(i * ratio), math.ceil((i + 1) * ratio) - 1), ratio.denominator, ratio.numerator)


def moved(reach: AxisField, start: int, step: int = 1) -> AxisField:
    """Behind a slice from `start` in steps of `step`; padding is a negative start."""
    return through(reach, lambda i: (start + i * step, start + i * step), 1, step)


def union(a: AxisField, b: AxisField) -> AxisField | None:
    """Both together, as behind an addition or a concatenation; None where the two do not move at the same stride."""
    if a.stride != b.stride:
        return None
    period = math.lcm(a.period, b.period)
    pairs = [(a.at(i), b.at(i)) for i in range(period)]
    first, last = tuple(min(p[0], q[0]) for p, q in pairs), tuple(max(p[1], q[1]) for p, q in pairs)
    return AxisField(first, last, a.step * (period // a.period))


def _ratio(inputs: int, outputs: int) -> Fraction:
    """Inputs per output. Sizes that miss a whole factor by less than one position of the coarser side come from rounding: 7 -> 13 is x2."""
    factor = round(outputs / inputs)
    return Fraction(1, factor) if factor > 1 and abs(outputs - inputs * factor) < factor else Fraction(inputs, outputs)
