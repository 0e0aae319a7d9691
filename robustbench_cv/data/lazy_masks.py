"""Region masks that are drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, eq=False)
class LazyMasks(Mapping[str, Tensor]):
    """Bool masks (H, W) by name, made by `make` on first use and kept as long as the sample is.

    >>> import torch
    >>> regions = LazyMasks(("class:car",), lambda name: torch.ones(2, 3, dtype=torch.bool))
    >>> sorted(regions), int(regions["class:car"].sum())
    (['class:car'], 6)
    """

    names: tuple[str, ...]
    make: Callable[[str], Tensor]
    made: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.names:
            raise KeyError(name)
        if name not in self.made:
            self.made[name] = self.make(name)
        return self.made[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names  # Mapping's own would draw the mask to find out

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
