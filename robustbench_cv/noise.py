"""Randomness per sample id, never per batch: the same sample draws the same numbers alone, in a batch, on any shard, in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """The random numbers of a batch: one independent stream for each id, a function of (seed, purpose, id) alone.

    Every call with the same arguments gives the same numbers: `fork` a name for each use ("start", "restart 2").
    Drawn on the CPU and moved, so that devices agree.

    >>> a, b = Noise(0, ("a", "b")), Noise(0, ("b",))
    >>> bool((a.uniform((2,))[1] == b.uniform((2,))[0]).all())
    True
    """

    seed: int
    ids: tuple[str, ...]
    purpose: str = ""

    def fork(self, purpose: str) -> Noise:
        """Streams independent of these, for another use."""
        return Noise(self.seed, self.ids, f"{self.purpose}/{purpose}")

    def select(self, index: Sequence[int]) -> Noise:
        """The streams of some of the samples, for survivors of a batch."""
        return Noise(self.seed, tuple(self.ids[i] for i in index), self.purpose)

    def key(self, position: int = 0) -> int:
        """The 63-bit seed of one sample's stream."""
        text = f"{self.seed}\x00{self.purpose}\x00{self.ids[position]}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1

    def rng(self, position: int = 0) -> numpy.random.Generator:
        """A numpy generator for one sample."""
        return numpy.random.default_rng(self.key(position))

    def uniform(self, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
        """Uniform in [0, 1): float32 (N, *shape)."""
        return self._draw(torch.rand, shape, device)

    def normal(self, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
        """Standard normal: float32 (N, *shape)."""
        return self._draw(torch.randn, shape, device)

    def _draw(self, draw: object, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        out = torch.empty((len(self.ids), *shape))
        for i in range(len(self.ids)):
            generator = torch.Generator().manual_seed(self.key(i))
            out[i] = draw(shape, generator=generator)  # type: ignore[operator]
        return out.to(device)
