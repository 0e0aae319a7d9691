"""SSD. Liu, Anguelov, Erhan, Szegedy, Reed, Fu, Berg, ECCV 2016, https://arxiv.org/abs/1512.02325

VGG-16 and ever coarser maps, default boxes of several shapes at each place, a softmax with background for each. `torchvision:ssd300_vgg16`
is torchvision's copy, with its weights. Deviations: images are scaled with antialiasing, sizes are bounded at 62 default boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import describe_module, freeze
from robustbench_cv.models.detection_postprocessing import detections
from robustbench_cv.models.detectors.darknet.detector import Stretched, names_for
from robustbench_cv.models.detectors.ssd_network import SSD300, SSD512, Ssd, decode_boxes, default_boxes, ssd_loss
from robustbench_cv.models.preprocessing import Preprocessing
from robustbench_cv.models.trainable import HeadRows, InputFrame, Objects, Refusal, boxes_and_labels, rows_by_anchor
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import BoxPrediction, Candidates, ModelInfo


@model(
    task="detection",
    family="SSD",
    paper="arXiv:1512.02325",
    year=2016,
    source="own",
    reduced="num_classes=3, width=8, levels=4, batch_norm=1, input_size=64",
    members={"ssd300": {"parameters": 26_285_486}, "ssd512": {"parameters": 36_038_196}},
)
def ssd(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    width: NonNegativeInt = 0,
    widest: NonNegativeInt = 0,
    levels: NonNegativeInt = 0,
    batch_norm: NonNegativeInt = 0,
    threshold: Fraction = 0.01,
    operating_score: Fraction = 0.25,
    nms_iou: Fraction = 0.45,
) -> SsdDetector:
    """SSD300 (VOC: 20 classes, 8,732 boxes) and SSD512 (COCO: 80 classes, 24,564 boxes).

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known, without the background. input_size: side to which images are stretched (default 300 or 512).
    width: maps of the first layer (64), from which all others follow; widest: a bound on them; levels: sources of boxes (6 or 7), fewer for
    small inputs; batch_norm=1 adds batch normalisation, which the paper's network has not.
    """
    layout, side, count = (SSD300, 300, 20) if name == "ssd300" else (SSD512, 512, 80)
    arguments = {"width": 64, "widest": 0, "levels": len(layout.boxes), "batch_norm": 0}
    names = names_for(classes, num_classes, count)
    default = Description(architecture=name, classes=names, input_size=(side, side), mean=MEAN, std=STD, arguments=arguments)
    own = {"width": width, "widest": widest, "levels": levels, "batch_norm": batch_norm}
    begin = initial_weights(name, weights, checkpoint, classes, num_classes, input_size, default=default, **own)
    own = dict(begin.arguments)
    if not 2 <= own["levels"] <= len(layout.boxes):
        raise UserError(f"{name} has 2 to {len(layout.boxes)} levels, not {own['levels']}")
    layout = layout.cut(own["levels"])
    network = begin.make(lambda: Ssd(len(begin.classes), layout, own["width"], own["widest"], norm=bool(own["batch_norm"])))
    side = _side(begin.input_size, name)
    shapes = network.shapes(side)
    if min(shapes) < 1:
        raise UserError(f"{name}: an input of {side} px is too small for {own['levels']} levels, whose sides are {shapes}; say levels=4")
    module = freeze(Boxed(network, Preprocessing(begin.mean, begin.std), default_boxes(shapes, layout.boxes, layout.scales(), side)))
    facts = (f"side={side}", f"threshold={threshold}", f"nms_iou={nms_iou}", repr(module.prepare))
    info = describe_module(module, begin.name, "detection", begin.classes, *facts, operating_score=operating_score)
    return SsdDetector(module=module, info=info, side=side, threshold=threshold, nms_iou=nms_iou)


MEAN = (123 / 255, 117 / 255, 104 / 255)
STD = (1 / 255, 1 / 255, 1 / 255)
"""The published networks see 0-255 less VGG's mean."""


def _side(size: tuple[int, int] | None, name: str) -> int:
    if size is None or size[0] != size[1]:
        raise UserError(f"{name} takes a square, not {size}; say input_size=300")
    return size[0]


class Boxed(nn.Module):
    """A network with its preprocessing and its default boxes (K, 4)."""

    defaults: Tensor

    def __init__(self, net: Ssd, prepare: Preprocessing, defaults: Tensor) -> None:
        super().__init__()
        self.net, self.prepare = net, prepare
        self.register_buffer("defaults", defaults, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores (N, K, 1 + C), boxes (N, K, 4) in px of the network's input."""
        scores, offsets = self.net(self.prepare(images))
        return scores, decode_boxes(offsets, self.defaults)


@dataclass(frozen=True, eq=False, kw_only=True)
class SsdDetector:
    """A Model of Candidates. side: of the network's input. threshold, nms_iou, candidates (of each class), top: what decode keeps."""

    module: Boxed
    info: ModelInfo
    side: int
    threshold: float = 0.01
    nms_iou: float = 0.45
    candidates: int = 400
    top: int = 200

    def raw(self, images: Tensor, /) -> Candidates:
        """Every default box's candidate, cut to the image: boxes (N, K, 1, 4); log softmax of the classes without the background."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"a detector takes images (N, 3, H, W) of one size, got {tuple(images.shape)}; group samples by shape first")
        frame = Stretched(images.shape[-2], images.shape[-1], self.side, self.side)
        scores, boxes = self.module(frame.images(images))
        valid = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
        return Candidates(frame.back(boxes)[:, :, None], scores.log_softmax(dim=-1)[..., 1:], valid)

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        """Threshold, the best `candidates` of each class, suppression within each class, the best `top`; on the CPU."""
        return detections(raw, self.threshold, self.nms_iou, self.top, each=self.candidates)

    learns_masks = False

    def refusal(self, spec: str, /) -> Refusal | None:
        """None: it can be fine-tuned."""
        return None

    def input_frame(self, height: int, width: int, /) -> InputFrame:
        """The square, to which images are stretched."""
        return InputFrame((self.side, self.side), letterbox=False)

    def loss(self, images: Tensor, objects: Sequence[Objects], /) -> Tensor:
        """The multibox loss."""
        scores, offsets = self.module.net(self.module.prepare(images))
        return ssd_loss(scores.float(), offsets.float(), self.module.defaults, *boxes_and_labels(objects))

    def head_rows(self, length: int, /) -> HeadRows | None:
        """Background and classes of each default box; a head of offsets has none that are a class's."""
        count = len(self.info.classes)
        return rows_by_anchor(length, 1 + count, 1 + torch.arange(count), torch.zeros(1, dtype=torch.long))
