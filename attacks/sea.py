"""SEA, four attacks on a segmenter and the worst of each image. Croce, Singh, Hein, ECCV 2024, https://arxiv.org/abs/2306.12941"""

from __future__ import annotations

from robustbench_cv.adversary import Ensemble
from robustbench_cv.adversary.combinators.radius_schedule import shrinking_radius
from robustbench_cv.adversary.criteria import pixels_wrong
from robustbench_cv.adversary.objectives.segmentation import (
    jensen_shannon,
    masked_cross_entropy,
    masked_spherical,
    seg_pgd_loss,
    track_cross_entropy,
)
from robustbench_cv.arguments import Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import PixelLogits


@attack(title="SEA", paper="arXiv:2306.12941", task="segmentation", reduced="steps=5", renamed="share=wrong_fraction")
def sea(
    norm: str = "linf", eps: Length = 8 / 255, steps: PositiveInt = 300, wrong_fraction: PositiveFraction = 0.5
) -> Ensemble[PixelLogits]:
    """Four losses, each raised by APGD in balls that shrink to eps; of each image the result with the lowest pixel accuracy: a worst case.

    steps: of each loss, 30 / 30 / 40 % of them in balls of 2, 1.5 and 1 eps. Pixel accuracy under it is the paper's; mIoU is that of the
    images so chosen, not of a choice made for mIoU. wrong_fraction: see `seg-pgd`.
    """
    losses = (
        track_cross_entropy(masked_cross_entropy()),
        track_cross_entropy(seg_pgd_loss()),
        track_cross_entropy(jensen_shannon()),
        masked_spherical(),
    )
    parts = tuple(shrinking_radius(f"sea: {loss.name}", loss, pixels_wrong(wrong_fraction), norm, eps, steps) for loss in losses)
    return Ensemble("sea, worst case by image", parts, exhaustive=True)
