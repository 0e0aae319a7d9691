"""A small U-Net for anyone's masks."""

from __future__ import annotations

from robustbench_cv.arguments import Budget, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import recipe
from robustbench_cv.errors import UserError
from robustbench_cv.models.segmenters.unet import UNet
from robustbench_cv.models.weights.initial_weights import parse_size
from robustbench_cv.training import losses
from robustbench_cv.training.adversarial import AdversarialTraining
from robustbench_cv.training.augment import chain, flip, light, zoom
from robustbench_cv.training.recipe import Recipe, Schedule


@recipe(model="unet")
def segmenter(
    size: PositiveInt | str = "160x120",
    width: PositiveInt = 16,
    epochs: PositiveInt = 40,
    batch: PositiveInt = 8,
    peak: NonNegativeNumber = 3e-3,
    eps: Budget = 0.0,
    attack_steps: PositiveInt = 2,
) -> Recipe:
    """U-Net on a mask data set of yours; the file it writes is used as unet(checkpoint='FILE').

    size: side or 'WxH' px at which it trains and runs. width: maps at full resolution. batch: images a step. peak: highest rate.
    eps: above 0, trained against PGD of `attack_steps` steps within this budget, in [0, 1] pixel units (docs/adversarial-training.md).
    """
    pixels = parse_size(size)
    if pixels is None:
        raise UserError("size is empty; write a side in pixels (96) or width x height ('160x120')")
    return Recipe(
        name="segmenter",
        architecture="unet",
        task="segmentation",
        network=lambda pool: UNet(len(pool.labels), width),
        loss=losses.segmentation,
        augment=chain(flip, zoom, light),
        schedule=Schedule(epochs=epochs, peak=peak, batch=batch),
        metrics=("miou", "pixel-accuracy"),
        size=pixels,
        arguments={"width": width},
        adversary=AdversarialTraining(eps, attack_steps) if eps else None,
    )
