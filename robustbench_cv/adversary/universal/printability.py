"""What a patch is charged for beside its purpose, so that it can be printed. Sharif, Bhagavatula, Bauer, Reiter, CCS 2016."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_LEVELS = (0.08, 0.5, 0.9)
_GREYS = (0.2, 0.35, 0.7)


@dataclass(frozen=True)
class Term:
    """A named cost of theta (3, s, s): weight * score(theta), but never less than `floor` (below it there is no gradient)."""

    name: str
    weight: float
    score: Callable[[Tensor], Tensor]
    floor: float = 0.0

    def __call__(self, theta: Tensor) -> Tensor:
        return (self.weight * self.score(theta)).clamp(min=self.floor)


def non_printability(weight: float = 0.01) -> Term:
    """Mean over pixels of the distance to the nearest of 30 printable colours (0.01: Thys et al. 2019).

    Theirs were measured on one printer; ours are a grid that stays away from pure colours, and three greys (project choice).
    """
    return Term("unprintable", weight, non_printability_score)


def total_variation(weight: float = 2.5, floor: float = 0.1) -> Term:
    """Total variation: the mean absolute difference of neighbouring pixels, down and across (2.5, floor 0.1: Thys et al. 2019)."""
    return Term("total variation", weight, mean_total_variation, floor)


def far_from_grey(weight: float) -> Term:
    """Mean squared distance to the blank surface, mid-grey: ShapeShifter's |texture - original|^2 for a texture that many objects share."""
    return Term("distance to grey", weight, lambda theta: (theta - 0.5).square().mean())


def printable_colours() -> Tensor:
    """(30, 3)."""
    levels = torch.tensor(_LEVELS)
    return torch.cat([torch.cartesian_prod(levels, levels, levels), torch.tensor(_GREYS)[:, None].expand(-1, 3)])


def non_printability_score(theta: Tensor) -> Tensor:
    """Scalar, from 0 (every pixel is a printable colour)."""
    distance = (theta[None] - printable_colours().to(theta)[:, :, None, None]).square().sum(dim=1)
    # The root has no gradient at 0.
    return (distance.amin(dim=0) + 1e-6).sqrt().mean() - 1e-3


def mean_total_variation(theta: Tensor) -> Tensor:
    """Scalar, from 0 (one colour).

    >>> mean_total_variation(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]))
    tensor(1.)
    """
    return (theta[:, 1:] - theta[:, :-1]).abs().mean() + (theta[:, :, 1:] - theta[:, :, :-1]).abs().mean()
