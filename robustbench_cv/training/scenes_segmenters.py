"""How the segmenters' weights for Scenes were made: each architecture at a width that trains in minutes on one core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from robustbench_cv.arguments import Fraction, NonNegativeInt, PositiveInt
from robustbench_cv.catalogue import recipe
from robustbench_cv.models.segmenters.deconvnet import DeconvNet
from robustbench_cv.models.segmenters.deeplabv3plus import DeepLabV3Plus
from robustbench_cv.models.segmenters.fcn import FCN
from robustbench_cv.models.segmenters.pspnet import PSPNet
from robustbench_cv.models.segmenters.segnet import SegNet
from robustbench_cv.training import losses
from robustbench_cv.training.augment import chain, flip, light
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.scenes import SAMPLES, TEST

Make = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Plan:
    """What differs between segmenters. make: the network for a number of classes; size: side in px; peak: the highest rate."""

    make: Make
    arguments: Mapping[str, int]
    size: int
    peak: float
    epochs: int


PLANS = {
    "scenes-fcn8s": Plan(lambda n: FCN(n, 8, 8, 48, 3, dropout=0.0), {"width": 8, "hidden": 48, "window": 3}, 64, 2e-3, 5),
    "scenes-deconvnet": Plan(lambda n: DeconvNet(n, (64, 64), 6, 48), {"width": 6, "hidden": 48}, 64, 4e-3, 8),
    "scenes-segnet": Plan(lambda n: SegNet(n, 6), {"width": 6}, 64, 4e-3, 8),
    "scenes-pspnet": Plan(lambda n: PSPNet(n, 6, 26), {"width": 6, "depth": 26}, 65, 4e-3, 8),
    "scenes-deeplabv3plus": Plan(lambda n: DeepLabV3Plus(n, 4, 2), {"width": 4, "middle": 2}, 65, 4e-3, 5),
}


@recipe(
    members={
        "scenes-fcn8s": {"model": "fcn8s.scenes"},
        "scenes-deconvnet": {"model": "deconvnet.scenes"},
        "scenes-segnet": {"model": "segnet.scenes"},
        "scenes-pspnet": {"model": "pspnet.scenes"},
        "scenes-deeplabv3plus": {"model": "deeplabv3plus.scenes"},
    },
)
def scenes_segmenters(name: str, bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: NonNegativeInt = 0) -> Recipe:
    """A segmenter of a few hundred thousand parameters at 64x64 or 65x65, without dropout or auxiliary heads.

    epochs: 0 for its own number.
    """
    plan = PLANS[name]
    return Recipe(
        name=name,
        architecture=name.removeprefix("scenes-"),
        task="segmentation",
        network=lambda pool: plan.make(len(pool.labels)),
        loss=losses.segmentation,
        augment=chain(flip, light),
        schedule=Schedule(epochs=epochs or plan.epochs, peak=plan.peak, batch=16),
        metrics=("miou", "pixel-accuracy"),
        size=(plan.size, plan.size),
        data=f"scenes(split='train', samples={samples!r}, task='segmentation', bias={bias!r})",
        test=f"scenes(split='test', samples={TEST}, task='segmentation')",
        arguments=plan.arguments,
        bits=8,
    )
