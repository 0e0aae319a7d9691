"""Draws by name: each is a hash of (key, name), so adding, removing or reordering draws changes no other one, on any platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class NamedRng:
    """Random numbers as a pure function of a key and a name.

    >>> NamedRng("a").unit("x") == NamedRng("a").unit("x")
    True
    """

    key: str

    def bits(self, name: str) -> int:
        """63 uniform bits."""
        return int.from_bytes(blake2b(f"{self.key}|{name}".encode(), digest_size=8).digest(), "big") >> 1

    def unit(self, name: str) -> float:
        """Uniform in [0, 1)."""
        return (self.bits(name) >> 10) / (1 << 53)

    def between(self, name: str, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit(name)

    def chance(self, name: str, probability: float) -> bool:
        """True with this probability; a larger probability keeps every True."""
        return self.unit(name) < probability

    def choice(self, name: str, items: Sequence[T]) -> T:
        """One of the items, each as likely."""
        return items[self.bits(name) % len(items)]
