"""How far a map keeps to the object: its share of mass and of rank inside, whether its peak hits, beside the object's own share of area."""

from __future__ import annotations

from torch import Tensor, uint8

from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.shapes import scale_length

TOLERANCE_PX = 15
"""Of the pointing game, at the image's original resolution (Zhang et al., ECCV 2016, arXiv:1608.00507)."""

SCALED_AT = 224
"""Shorter side at which the scaled tolerance is 15 px (project choice)."""


def relevance_mass(relevance: Tensor, mask: Tensor) -> float:
    """Share of the positive relevance that lies in the mask, both (H, W). NotApplicable where there is none at all.

    Relevance mass accuracy of Arras, Osman, Samek, "CLEVR-XAI", Information Fusion 81, 2022, arXiv:2003.07258; of an occlusion map it is
    the on-object share. Negative relevance is clipped first, in numerator and denominator alike.

    >>> relevance_mass(Tensor([[3, 1, -9]]), Tensor([[1, 0, 1]]))
    0.75
    """
    positive = _positive(relevance)
    return float(positive[mask.bool()].sum() / positive.sum())


def relevance_rank(relevance: Tensor, mask: Tensor) -> float:
    """Share of the K most relevant pixels that lie in the mask of K pixels. Of equals, those that come first row by row.

    Relevance rank accuracy of the same paper. NotApplicable where no relevance is positive, or the mask is empty.

    >>> relevance_rank(Tensor([[3, 1, 2]]), Tensor([[1, 1, 0]]))
    0.5
    """
    k = int(mask.sum())
    if k == 0:
        raise NotApplicable("the object has no visible pixel")
    top = _positive(relevance).flatten().argsort(descending=True, stable=True)[:k]
    return int(mask.flatten().bool()[top].sum()) / k


def pointing_game(relevance: Tensor, mask: Tensor, tolerance_px: float = TOLERANCE_PX) -> bool:
    """Whether a pixel of the mask lies strictly closer than the tolerance to the map's maximum (the first of several).

    NotApplicable where no relevance is positive: a map that is nowhere highest points nowhere.
    """
    peak = int(_positive(relevance).argmax())
    y, x = divmod(peak, relevance.shape[1])
    rows, columns = mask.nonzero(as_tuple=True)
    return bool(((rows - y) ** 2 + (columns - x) ** 2 < tolerance_px**2).any())


def pointing_chance(mask: Tensor, tolerance_px: float = TOLERANCE_PX) -> float:
    """Share of the image's pixels that would count as a hit: how often a peak that falls anywhere wins the pointing game.

    >>> pointing_chance(Tensor([[1, 0, 0, 0]]), tolerance_px=2)
    0.5
    """
    import cv2

    away = cv2.distanceTransform((~mask.bool()).to(uint8).numpy(), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((away < tolerance_px).mean())


def scaled_tolerance(height: int, width: int) -> int:
    """15 px at a shorter side of 224 px, in proportion: on small images 15 px would reach nearly everything."""
    return scale_length(TOLERANCE_PX, SCALED_AT, height, width)


def area_share(mask: Tensor) -> float:
    """Share of the image that the object covers: the relevance mass of a map that is the same everywhere."""
    return float(mask.float().mean())


def _positive(relevance: Tensor) -> Tensor:
    positive = relevance.double().clamp(min=0)
    if not bool(positive.sum() > 0):
        raise NotApplicable("the map is nowhere positive")
    return positive
