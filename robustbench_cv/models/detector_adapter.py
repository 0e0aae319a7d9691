"""A detector of anybody's becomes a model: a module, and a function from its output to candidates. Everything else is the same for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Prepared, describe_module, freeze
from robustbench_cv.models.detection_postprocessing import detections
from robustbench_cv.models.preprocessing import Preprocessing
from robustbench_cv.types import BoxPrediction, Candidates, Labels, ModelInfo

Believe = Callable[[Any], tuple[Tensor, Tensor]]
"""The module's output -> boxes (N, K, 4) xyxy in px of the network's input, and log_score (N, K, C); differentiable."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Detector:
    """A Model of Candidates around a module whose output `believe` understands.

    threshold: the least confidence that decode keeps. nms_iou: overlap from which of two boxes of a class the weaker goes; 1 keeps all.
    top: detections an image.
    """

    module: Prepared
    info: ModelInfo
    believe: Believe
    threshold: float
    nms_iou: float
    top: int

    def raw(self, images: Tensor, /) -> Candidates:
        """Every candidate, boxes in px of the images. UserError where `believe` returns other shapes than it should."""
        x = self.module.prepare(images)
        boxes, log_score = self.believe(self.module.net(x))
        if boxes.ndim != 3 or boxes.shape[-1] != 4 or log_score.shape != (*boxes.shape[:2], len(self.info.classes)):
            shapes = f"boxes {tuple(boxes.shape)} and log scores {tuple(log_score.shape)}"
            raise UserError(f"{self.info.name}: believe returned {shapes}; they must be (N, K, 4) and (N, K, {len(self.info.classes)})")
        (height, width), (h, w) = images.shape[-2:], x.shape[-2:]
        boxes = boxes * boxes.new_tensor([width / w, height / h, width / w, height / h])
        return Candidates(boxes[:, :, None], log_score, torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device))

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        """Threshold, suppression within each class, the best `top`; on the CPU."""
        return detections(raw, self.threshold, self.nms_iou, self.top)


def detector(
    module: nn.Module,
    believe: Believe,
    *,
    name: str,
    classes: Labels,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_size: tuple[int, int] | None = None,
    channels: str = "RGB",
    threshold: float = 0.005,
    nms_iou: float = 0.5,
    top: int = 100,
    operating_score: float = 0.25,
    weights: str = "",
) -> Detector:
    """Freeze a module and give it its preprocessing, as `adapt.classifier` does; images are stretched to input_size (h, w).

    operating_score: the confidence from which a box counts as reported. weights: where they came from, part of the identity.
    """
    prepared = freeze(Prepared(module, Preprocessing(mean, std, input_size, channels=channels)))
    facts = (repr(prepared.prepare), f"threshold={threshold}", f"nms_iou={nms_iou}", f"top={top}", weights)
    info = describe_module(prepared, name, "detection", classes, *facts, operating_score=operating_score)
    return Detector(module=prepared, info=info, believe=believe, threshold=threshold, nms_iou=nms_iou, top=top)
