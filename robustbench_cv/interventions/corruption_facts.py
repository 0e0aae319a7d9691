"""What a corruption declares of itself, for reports: plain data, read without the code that corrupts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

import msgspec

Where = Literal["everywhere", "object", "context"]
Group = Literal["noise", "blur", "weather", "digital"]

GROUPS: Mapping[str, Group] = {
    "gaussian_noise": "noise",
    "shot_noise": "noise",
    "impulse_noise": "noise",
    "defocus_blur": "blur",
    "glass_blur": "blur",
    "motion_blur": "blur",
    "zoom_blur": "blur",
    "snow": "weather",
    "frost": "weather",
    "fog": "weather",
    "brightness": "weather",
    "contrast": "digital",
    "elastic_transform": "digital",
    "pixelate": "digital",
    "jpeg_compression": "digital",
    "speckle_noise": "noise",
    "gaussian_blur": "blur",
    "spatter": "weather",
    "saturate": "digital",
}
"""ImageNet-C's corruptions and the groups that its paper puts them in: the 15 that count, in its order, then the 4 for validation."""

SCORED, HELD_OUT = tuple(GROUPS)[:15], tuple(GROUPS)[15:]
"""Those that mCE and mPC are of, and those that they are not."""


class CorruptionFacts(msgspec.Struct, frozen=True):
    """name: ImageNet-C's. severity: 1 to 5. group: the paper's. scored: one of the 15 that mCE and mPC are of. where: which pixels."""

    name: str
    severity: int
    group: Group
    scored: bool
    where: Where


@runtime_checkable
class HasCorruptionFacts(Protocol):
    """An intervention that is a corruption and says so."""

    @property
    def corruption_facts(self) -> CorruptionFacts: ...
