"""Noise fields from integer hashing: the same numbers on every platform (only + - * / and sqrt touch floats)."""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
RGB: TypeAlias = tuple[float, float, float]

_UINT32 = 0xFFFFFFFF


def smooth(t: Array) -> Array:
    """3t^2 - 2t^3 of t clipped to [0, 1]."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """Linear blend of two colours."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def scale_colour(colour: RGB, factor: float) -> RGB:
    """A colour made darker (factor < 1) or lighter, clipped to [0, 1]."""
    return (min(1.0, colour[0] * factor), min(1.0, colour[1] * factor), min(1.0, colour[2] * factor))


def hash_coordinates(x: Array, y: Array | int, seed: int) -> Array:
    """Uniform float32 in [0, 1) for integer coordinates: two rounds of multiply-xorshift on 32 bits."""
    h = (x.astype(np.uint32) * np.uint32(0x9E3779B1)) ^ (np.asarray(y).astype(np.uint32) * np.uint32(0x85EBCA77))
    h = h ^ np.uint32((seed * 0xC2B2AE3D) & _UINT32)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = (h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
    h = h ^ (h >> np.uint32(15))
    unit: Array = (h >> np.uint32(8)).astype(np.float32) * np.float32(1.0 / (1 << 24))
    return unit


def line_noise(seed: int, x: Array, cells: float, octaves: int = 3) -> Array:
    """Smooth 1-D noise in about [-1, 1] at positions x (in sides of the image), `cells` bumps a side, halving octaves."""
    total, weight, norm = np.zeros(x.shape, np.float32), 1.0, 0.0
    for octave in range(octaves):
        position = x * np.float32(cells * (1 << octave)) + np.float32(16.0)
        cell = np.floor(position)
        t = smooth(position - cell)
        low = hash_coordinates(cell.astype(np.int64), octave, seed)
        high = hash_coordinates(cell.astype(np.int64) + 1, octave, seed)
        total += weight * (2.0 * (low + (high - low) * t) - 1.0)
        norm += weight
        weight *= 0.5
    return total / np.float32(norm)


@functools.lru_cache(maxsize=32)
def tile(side: int, cells: int, octaves: int, seed: int = 1) -> Array:
    """Tileable value noise (side, side) float32 in [-1, 1]: `cells` bumps a side in the first octave. Cached; do not write."""
    axis = np.arange(side, dtype=np.float32)
    total, weight, norm = np.zeros((side, side), np.float32), 1.0, 0.0
    for octave in range(octaves):
        count = min(cells << octave, side)
        position = axis * np.float32(count / side)
        cell = np.floor(position)
        t = smooth(position - cell)
        i = cell.astype(np.int64) % count
        j = (i + 1) % count
        grid = hash_coordinates(np.arange(count)[:, None], np.arange(count)[None, :], seed * 31 + octave)
        rows = grid[i] + (grid[j] - grid[i]) * t[:, None]
        total += weight * (2.0 * (rows[:, i] + (rows[:, j] - rows[:, i]) * t[None, :]) - 1.0)
        norm += weight
        weight *= 0.55
    total /= np.float32(norm)
    total.flags.writeable = False
    return total
