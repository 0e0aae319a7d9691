"""A sample for code that is not this package's: what that writes into it changes nobody else's."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from robustbench_cv.types import Sample


def own_copy(sample: Sample) -> Sample:
    """The same sample with an image, a target, regions and facts of its own."""
    return replace(
        sample,
        image=sample.image.clone(),
        target=copy.deepcopy(sample.target),
        regions=_Regions(sample.regions),
        attributes=dict(sample.attributes),
        edit=copy.deepcopy(sample.edit),
    )


@dataclass(frozen=True)
class _Regions(Mapping[str, Tensor]):
    """Masks that are copied when they are asked for, each once: drawing them all may cost more than the edit."""

    masks: Mapping[str, Tensor]
    copies: dict[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.copies:
            self.copies[name] = self.masks[name].clone()
        return self.copies[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.masks)

    def __len__(self) -> int:
        return len(self.masks)
