"""What each family of detectors lowers when it is fine-tuned, on images in [0, 1] of the size that the network sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from robustbench_cv.models.detectors.darknet.detector import DarknetDetector
from robustbench_cv.models.detectors.darknet.heads import AnchorHead, GridHead
from robustbench_cv.models.detectors.darknet.losses import grid_loss, region_loss, scales_loss
from robustbench_cv.models.detectors.region_based.detector import BoxDetector
from robustbench_cv.models.detectors.ssd import SsdDetector
from robustbench_cv.models.detectors.ssd_network import ssd_loss
from robustbench_cv.models.detectors.yolo.detector import YoloDetector
from robustbench_cv.models.detectors.yolo.loss import yolo_loss
from robustbench_cv.models.sources.hf_detection import HfDetector
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector
from robustbench_cv.training.region_based import one_box_loss
from robustbench_cv.training.training_set import NOTHING, each_object

Lowered = Callable[[Tensor, Tensor], Tensor]
"""(images (N, 3, h, w) in [0, 1], truths as a Pool holds them) -> a scalar."""

LEAST_PX = 1.0
"""Objects with a shorter side, at the size the network sees, are not learned from: a box without extent has no loss."""


def objects(truths: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes (M, 4) and labels (M,) of each image, from a pool's padded rows (N, M, 5)."""
    rows = [r[_large(r) & (r[:, 4] != NOTHING)] for r in truths]
    return [r[:, :4] for r in rows], [r[:, 4].long() for r in rows]


def _large(rows: Tensor) -> Tensor:
    return ((rows[:, 2:4] - rows[:, 0:2]) >= LEAST_PX).all(dim=1)


def yolo(model: YoloDetector) -> Lowered:
    """Version 3's."""

    def loss(images: Tensor, truths: Tensor) -> Tensor:
        return yolo_loss([m.float() for m in model.module(images)], model.module.anchors, *objects(truths))

    return loss


def darknet(model: DarknetDetector) -> Lowered:
    """That of the version whose detecting layers the network has."""
    network = model.module

    def loss(images: Tensor, truths: Tensor) -> Tensor:
        boxes, labels = objects(truths)
        maps, first = [m.float() for m in network(images)], network.heads[0]
        if isinstance(first, GridHead):
            return grid_loss(first, maps[0], boxes, labels, network.height, network.width)
        heads = cast(list[AnchorHead], network.heads)
        if not heads[0].softmax:
            return scales_loss(heads, maps, boxes, labels, network.height, network.width)
        return region_loss(heads[0], maps[0], boxes, labels, network.height, network.width)

    return loss


def ssd(model: SsdDetector) -> Lowered:
    """The multibox loss."""

    def loss(images: Tensor, truths: Tensor) -> Tensor:
        scores, offsets = model.module.net(model.module.prepare(images))
        return ssd_loss(scores.float(), offsets.float(), model.module.defaults, *objects(truths))

    return loss


def one_box(model: BoxDetector) -> Lowered:
    """Class and box of the largest object."""
    module: Any = model.module

    def loss(images: Tensor, truths: Tensor) -> Tensor:
        return one_box_loss(module.net, module.prepare(images), truths)

    return loss


def torchvision(model: TorchvisionDetector) -> Lowered:
    """The sum of what the module returns in training."""
    numbers = model.columns

    def target(truth: Tensor) -> dict[str, Tensor]:
        rows, masks = (truth, None) if truth.is_floating_point() else each_object(truth.cpu())
        kept = _large(rows) & (rows[:, 4] != NOTHING)
        rows, device = rows[kept].to(truth.device), truth.device
        found = {"boxes": rows[:, :4], "labels": numbers.to(device)[rows[:, 4].long()]}
        return found if masks is None else found | {"masks": masks[kept].to(device)}

    def loss(images: Tensor, truths: Tensor) -> Tensor:
        parts = model.module(list(images), [target(t) for t in truths])
        return torch.stack([part.float() for part in parts.values()]).sum()

    return loss


def transformers(model: HfDetector) -> Lowered:
    """The set loss of transformers' own module: objects matched to queries one by one. In 32 bits, since the matching needs them."""
    mean, std = model.sight.mean, model.sight.std

    def loss(images: Tensor, truths: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        numbers = model.columns.to(images.device)
        labels = []
        for box, label in zip(*objects(truths), strict=True):
            share = box / box.new_tensor([width, height, width, height])
            middle, side = (share[:, :2] + share[:, 2:]) / 2, share[:, 2:] - share[:, :2]
            labels.append({"class_labels": numbers[label], "boxes": torch.cat([middle, side], dim=1)})
        with torch.autocast(images.device.type, enabled=False):
            x = (
                images
                if mean is None or std is None
                else (images - images.new_tensor(mean)[:, None, None]) / images.new_tensor(std)[:, None, None]
            )
            total: Tensor = model.module(pixel_values=x, labels=labels).loss
        return total

    return loss


class Learner(nn.Module):
    """What learns: a detector's own module, whose loss is asked for. switch: told whether it is about to learn or to be used.

    learning: names of the parameters that learn; still: names of the modules that keep their eval mode, so that norms which were frozen
    where the weights come from stay as they are. Where not everything learns, nor do norms and dropout without a part in it.
    """

    def __init__(self, net: nn.Module, lowered: Lowered, switch: Callable[[bool], None], still: frozenset[str], frozen: bool) -> None:
        super().__init__()
        self.net = net
        self.lowered, self._switch, self._still, self._frozen = lowered, switch, still, frozen

    def forward(self, images: Tensor, truths: Tensor) -> Tensor:
        """The loss."""
        return self.lowered(images, truths)

    def train(self, mode: bool = True) -> Learner:
        # First, so that the parts that it puts in get the mode too.
        self._switch(mode)
        super().train(mode)
        for name, module in self.net.named_modules():
            leaf = next(module.children(), None) is None
            idle = leaf and not any(p.requires_grad for p in module.parameters(recurse=False))
            if name in self._still or (self._frozen and idle):
                module.training = False
        return self
