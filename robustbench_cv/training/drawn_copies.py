"""Edited copies of which each epoch learns from some: all of them are in memory, and which an epoch takes is drawn at its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

NONE = -1
"""Where a place has fewer candidates than another."""


class Candidate(NamedTuple):
    """One of an image's copies of which an epoch learns from `times`, each drawn by itself. of: the image's id. label: the index of the
    class that decides how likely the copy is; the number of classes where the data do not label it.
    """

    of: str
    label: int
    times: int


@dataclass(frozen=True, eq=False)
class DrawnCopies:
    """always: (A,) positions in the training set of what every epoch learns from. copies, labels: (D, K) of what each of D draws chooses
    among, NONE where it has fewer. originals: (O,) positions of unedited images.
    """

    always: Tensor
    copies: Tensor
    labels: Tensor
    originals: Tensor

    def __len__(self) -> int:
        """Images of an epoch."""
        return len(self.always) + len(self.copies)

    def draw(self, weights: Tensor, rng: torch.Generator) -> Tensor:
        """The positions that an epoch learns from. weights: (classes + 1,) above 0, how likely a copy is drawn beside the others."""
        likely = weights[self.labels.clamp(min=0)] * (self.copies != NONE)
        chosen = torch.multinomial(likely, 1, generator=rng)
        return torch.cat([self.always, self.copies.gather(1, chosen)[:, 0]])


def drawn_copies(candidates: Sequence[Candidate | None], originals: Sequence[int]) -> DrawnCopies | None:
    """Of what each of a training set's images is a candidate for, and the positions of the unedited ones; None where nothing is drawn."""
    places: dict[str, list[tuple[int, Candidate]]] = {}
    for position, candidate in enumerate(candidates):
        if candidate is not None:
            places.setdefault(candidate.of, []).append((position, candidate))
    draws = [members for members in places.values() for _ in range(members[0][1].times)]
    if not draws:
        return None
    most = max(len(members) for members in draws)
    rows = [members + [(NONE, Candidate("", NONE, 0))] * (most - len(members)) for members in draws]
    return DrawnCopies(
        always=torch.tensor([k for k, candidate in enumerate(candidates) if candidate is None]),
        copies=torch.tensor([[position for position, _ in row] for row in rows]),
        labels=torch.tensor([[candidate.label for _, candidate in row] for row in rows]),
        originals=torch.tensor(originals),
    )
