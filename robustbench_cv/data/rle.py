"""COCO's run-length masks: runs of 0 and 1 in turn, beginning with 0, down the columns from left to right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor


def decode(runs: Sequence[int], height: int, width: int) -> Tensor:
    """The mask of these runs: bool (H, W). ValueError where they are negative or do not fill it.

    >>> decode([1, 2, 1], 2, 2).int().tolist()
    [[0, 1], [1, 0]]
    """
    check(runs, height, width)
    lengths = numpy.asarray(runs, dtype=numpy.int64)
    bits = numpy.repeat(numpy.arange(len(lengths)) % 2 == 1, lengths)
    return torch.from_numpy(numpy.ascontiguousarray(bits.reshape(width, height).T))


def check(runs: Sequence[int], height: int, width: int) -> None:
    """ValueError where runs are negative or do not fill the image."""
    if sum(runs) != height * width or any(run < 0 for run in runs):
        raise ValueError(f"the runs of its mask add up to {sum(runs)}; they must be 0 or more and fill the image's {height * width} pixels")


_LONGEST_BITS = 60
"""Bits of the longest number in a compressed mask: more than any image has pixels, and never a large integer, whose cost is quadratic."""


def runs_of_text(text: str) -> list[int]:
    """The runs in COCO's compressed form. ValueError where the text is none.

    Each number is written in groups of 5 bits, the lowest first, as the character 48 + bits, plus 32 while groups follow; the highest bit
    of the last group is the sign. From the fourth number on, the difference to the one two before is written.

    >>> runs_of_text("52203")
    [5, 2, 2, 2, 5]
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"{character!r} is no character of a compressed mask")
        if shift >= _LONGEST_BITS:
            raise ValueError("a number of the compressed mask is longer than any image")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the compressed mask ends within a number")
    return runs
