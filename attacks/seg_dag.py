"""Dense adversary generation on segmenters. Xie et al., Adversarial Examples for Semantic Segmentation and Object Detection, ICCV 2017, https://arxiv.org/abs/1703.08603"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, ball
from robustbench_cv.adversary.criteria import pixels_wrong
from robustbench_cv.adversary.gradient_transforms import chain, scale
from robustbench_cv.adversary.objectives.dag import (
    AdversarialPixelLabels,
    adversarial_pixel_labels,
    linf_normalised,
    pixels_to_other_classes,
)
from robustbench_cv.arguments import Budget, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import PixelLogits


@attack(
    title="DAG",
    paper="arXiv:1703.08603",
    task="segmentation",
    reduced="eps=16/255, steps=40, gamma=4/255, wrong_fraction=0.5",
    renamed="share=wrong_fraction",
)
def seg_dag(
    eps: Budget | None = None, steps: PositiveInt = 200, gamma: Budget = 0.5 / 255, wrong_fraction: PositiveFraction = 0.99
) -> Attack[PixelLogits, AdversarialPixelLabels]:
    """Every pixel to another of the image's classes, our reading of the paper; the authors' released code paints shapes instead.

    A step moves the largest entry by gamma and the others in proportion; it ends when at most 1 % of the pixels keep their label
    (wrong_fraction; both as in the authors' code). Unbounded, as published, apart from [0, 1]; eps: an L-infinity budget to keep within.
    """
    region = ball("linf", eps)
    move = chain(linf_normalised(), scale(gamma))
    success = pixels_wrong(wrong_fraction)
    return Attack(
        name="dag-paper",
        objective=pixels_to_other_classes(),
        success=success,
        constraint=region,
        optimizer=Ascent(move),
        steps=steps,
        restarts=1,
        start="clean",
        keep="first",
        reference=adversarial_pixel_labels,
    )
