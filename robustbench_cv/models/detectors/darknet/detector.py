"""The model around a Darknet network: images into its square, candidates out of its maps, detections out of those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from robustbench_cv.boxes import clip
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import describe_module, freeze
from robustbench_cv.models.detection_postprocessing import detections
from robustbench_cv.models.detectors.darknet import weights as darknet_file
from robustbench_cv.models.detectors.darknet.cfg import Section
from robustbench_cv.models.detectors.darknet.heads import AnchorHead, GridHead
from robustbench_cv.models.detectors.darknet.losses import grid_loss, region_loss, scales_loss
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.models.preprocessing import scale
from robustbench_cv.models.trainable import HeadRows, InputFrame, Objects, Refusal, boxes_and_labels, rows_by_anchor
from robustbench_cv.models.weights.initial_weights import InitialWeights
from robustbench_cv.types import BoxPrediction, Candidates, Labels, ModelInfo

COCO = (
    "person,bicycle,car,motorbike,aeroplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,bench,bird,cat,dog,"
    "horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
    "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,"
    "orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,sofa,pottedplant,bed,diningtable,toilet,tvmonitor,laptop,mouse,remote,"
    "keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
"""The 80 names in the order and spelling of Darknet's own list; COCO itself writes motorcycle, airplane, couch, potted plant, tv."""

VOC = (
    "aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,motorbike,person,pottedplant,sheep,sofa,train,tvmonitor"
)

PUBLISHED = {80: tuple(COCO.split(",")), 20: tuple(VOC.split(","))}
"""Class names by their number: what the published files were trained on."""


def published_names(count: int) -> Labels:
    """COCO's for 80, VOC's for 20, numbers for any other count."""
    return Labels(PUBLISHED[count]) if count in PUBLISHED else Labels.numbered(count)


def names_for(classes: str, num_classes: int, usual: int) -> tuple[str, ...]:
    """The user's own names where they are said, else those of so many classes; what a file that describes itself says wins over both."""
    return tuple(name.strip() for name in classes.split(",")) if classes else published_names(num_classes or usual).names


@dataclass(frozen=True)
class Stretched:
    """Images of height x width px scaled to h x w, aspect not kept: what version 1 does. The same methods as a Letterbox."""

    height: int
    width: int
    h: int
    w: int

    def images(self, images: Tensor) -> Tensor:
        """(N, 3, height, width) -> (N, 3, h, w), differentiable."""
        return scale(images, (self.h, self.w))

    def back(self, boxes: Tensor) -> Tensor:
        """Boxes (..., 4) of the network's input in px of the image, cut to it."""
        x, y = self.width / self.w, self.height / self.h
        return clip(boxes * boxes.new_tensor([x, y, x, y]), self.height, self.width)

    def touched(self, squares: Tensor) -> Tensor:
        """All of (K, 4)."""
        return torch.ones(len(squares), dtype=torch.bool, device=squares.device)


@dataclass(frozen=True, eq=False)
class DarknetDetector:
    """A Model of Candidates around a DarknetNetwork. threshold, nms_iou, top: what decode keeps.

    Version 1 stretches the image, versions 2 and 3 fit it into the square with grey borders. Scaling is antialiased; Darknet's own is not.
    """

    module: DarknetNetwork
    info: ModelInfo
    threshold: float = 0.005
    nms_iou: float = 0.45
    top: int = 100

    def raw(self, images: Tensor, /) -> Candidates:
        """Every candidate: boxes (N, K, 1, 4) in px of the images. Those whose cell is all grey border are not valid."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"a detector takes images (N, 3, H, W) of one size, got {tuple(images.shape)}; group samples by shape first")
        frame = self._frame(*images.shape[-2:])
        height, width = self.module.height, self.module.width
        maps = self.module(frame.images(images))
        beliefs = [head.believe(grid.float(), height, width) for head, grid in zip(self.module.heads, maps, strict=True)]
        boxes = frame.back(torch.cat([b.boxes for b in beliefs], dim=1))
        valid = frame.touched(torch.cat([b.cells for b in beliefs])).expand(len(images), -1)
        return Candidates(boxes[:, :, None], torch.cat([b.log_score for b in beliefs], dim=1), valid)

    def _frame(self, height: int, width: int) -> Letterbox | Stretched:
        if isinstance(self.module.heads[0], GridHead):
            return Stretched(height, width, self.module.height, self.module.width)
        return Letterbox(height, width, self.module.height)

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        """Threshold, suppression within each class, the best `top`; on the CPU. A linear score above 1 counts as 1."""
        predictions = detections(raw, self.threshold, self.nms_iou, self.top)
        return [BoxPrediction(f.boxes, f.scores.clamp(max=1), f.labels) for f in predictions]

    learns_masks = False

    @property
    def side(self) -> int:
        """Of the network's square input, px."""
        return self.module.height

    def refusal(self, spec: str, /) -> Refusal | None:
        """None: it can be fine-tuned."""
        return None

    def input_frame(self, height: int, width: int, /) -> InputFrame:
        """The square; version 1 stretches images to it."""
        return InputFrame((self.module.height, self.module.width), letterbox=not isinstance(self.module.heads[0], GridHead))

    def loss(self, images: Tensor, objects: Sequence[Objects], /) -> Tensor:
        """That of the version whose detecting layers the network has."""
        network = self.module
        maps, first, (boxes, labels) = [m.float() for m in network(images)], network.heads[0], boxes_and_labels(objects)
        if isinstance(first, GridHead):
            return grid_loss(first, maps[0], boxes, labels, network.height, network.width)
        heads = cast(list[AnchorHead], network.heads)
        if not heads[0].softmax:
            return scales_loss(heads, maps, boxes, labels, network.height, network.width)
        return region_loss(heads[0], maps[0], boxes, labels, network.height, network.width)

    def head_rows(self, length: int, /) -> HeadRows | None:
        """Version 1: the classes of every cell, then all boxes; else box, objectness and classes of each anchor."""
        count, first = len(self.info.classes), self.module.heads[0]
        classes = torch.arange(count)
        if isinstance(first, GridHead):
            cells = first.side**2
            return HeadRows(torch.arange(cells) * count + classes[:, None], torch.arange(cells * count, length))
        return rows_by_anchor(length, 5 + count, 5 + classes, torch.arange(5))


def wrapped(
    network: DarknetNetwork, name: str, classes: Labels, *, threshold: float, operating_score: float, nms_iou: float
) -> DarknetDetector:
    """Freeze a network and describe it. UserError where its input is no square, its heads disagree or the names are too many or few."""
    counts = {head.classes for head in network.heads}
    if counts != {len(classes)}:
        raise UserError(f"{name}: its detecting layers have {' and '.join(map(str, sorted(counts)))} classes, the names are {len(classes)}")
    if network.height != network.width:
        raise UserError(f"{name} has an input of {network.width} x {network.height} px; this reader serves squares: give input_size")
    facts = (f"input={network.width}x{network.height}", f"threshold={threshold}", f"nms_iou={nms_iou}")
    info = describe_module(freeze(network), name, "detection", classes, *facts, operating_score=operating_score)
    return DarknetDetector(network, info, threshold, nms_iou)


def filled(begin: InitialWeights, sections: tuple[Section, ...], file: str) -> DarknetNetwork:
    """The network of a start; its numbers from a Darknet file where `file` names one."""
    network = begin.make(lambda: DarknetNetwork(sections))
    if file:
        darknet_file.read(network, file, begin.name)
    return network


def is_darknet(checkpoint: str) -> bool:
    """Whether a checkpoint is one of Darknet's files."""
    return Path(checkpoint).suffix == ".weights"
