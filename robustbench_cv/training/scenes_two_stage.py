"""How the bundled weights of Faster R-CNN, Mask R-CNN and RetinaNet for Scenes were made: torchvision's own losses, both stages at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustbench_cv.arguments import Fraction, PositiveInt
from robustbench_cv.catalogue import recipe
from robustbench_cv.models.detectors.faster_rcnn_small import with_pyramid, without_pyramid
from robustbench_cv.models.detectors.mask_rcnn_small import with_masks
from robustbench_cv.models.detectors.retinanet_small import one_stage
from robustbench_cv.training.augment import chain, flip, light
from robustbench_cv.training.recipe import Loss, Recipe, Schedule
from robustbench_cv.training.training_set import NOTHING, TrainingSet, each_object

SAMPLES = 8000
SIDE = 96


@recipe(
    members={
        "scenes-faster-rcnn": {"model": "faster-rcnn-small.scenes"},
        "scenes-faster-rcnn-fpn": {"model": "faster-rcnn-fpn-small.scenes"},
    }
)
def scenes_faster_rcnn(
    name: str, bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 5, width: PositiveInt = 16
) -> Recipe:
    """Faster R-CNN at 96x96, with one feature map or a pyramid."""
    build = with_pyramid if name.endswith("fpn") else without_pyramid
    return _recipe(
        name,
        name.replace("scenes-", "") + "-small",
        lambda n: build(n, width, SIDE),
        lowered=loss(1),
        bias=bias,
        samples=samples,
        epochs=epochs,
        width=width,
    )


@recipe(model="mask-rcnn-small.scenes")
def scenes_mask_rcnn(bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 4, width: PositiveInt = 16) -> Recipe:
    """Mask R-CNN at 96x96: boxes and masks at once."""
    name = "mask-rcnn-small"
    return _recipe(
        "scenes-mask-rcnn",
        name,
        lambda n: with_masks(n, width, SIDE),
        lowered=loss(1),
        bias=bias,
        samples=samples,
        epochs=epochs,
        width=width,
        masks=True,
    )


@recipe(model="retinanet-small.scenes")
def scenes_retinanet(bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 5, width: PositiveInt = 16) -> Recipe:
    """RetinaNet at 96x96."""
    return _recipe(
        "scenes-retinanet",
        "retinanet-small",
        lambda n: one_stage(n, width, SIDE),
        lowered=loss(0),
        bias=bias,
        samples=samples,
        epochs=epochs,
        width=width,
    )


def _recipe(
    name: str,
    architecture: str,
    build: Callable[[int], nn.Module],
    lowered: Loss,
    bias: float,
    samples: int,
    epochs: int,
    width: int,
    *,
    masks: bool = False,
) -> Recipe:
    def network(pool: TrainingSet) -> nn.Module:
        return build(len(pool.labels))

    return Recipe(
        name=name,
        architecture=architecture,
        task="detection",
        network=network,
        loss=lowered,
        augment=chain(flip, light),
        schedule=Schedule(epochs=epochs, peak=3e-3, batch=16, warm=0.2),
        metrics=("ap50", "ap", *(("mask-ap50", "mask-ap") if masks else ())),
        size=(SIDE, SIDE),
        data=f"scenes(split='train', samples={samples}, task='detection', bias={bias})",
        test="scenes(split='test', samples=500, task='detection')",
        letterbox=True,
        normalise=False,
        instances=masks,
        arguments={"width": width},
        bits=8 if masks else 16,
    )


def loss(first_class: int) -> Loss:
    """The sum of what one of torchvision's detectors lowers. first_class: the number of the first class, 1 where 0 is the background."""

    def total(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
        parts = network(list(images), [_target(t, first_class) for t in truths])
        return torch.stack([part.float() for part in parts.values()]).sum()

    return total


def _target(truth: Tensor, first_class: int) -> dict[str, Tensor]:
    if truth.ndim == 2 and truth.is_floating_point():
        rows = truth[truth[:, 4] != NOTHING]
        return {"boxes": rows[:, :4], "labels": rows[:, 4].long() + first_class}
    rows, masks = each_object(truth)
    return {"boxes": rows[:, :4], "labels": rows[:, 4].long() + first_class, "masks": masks}
