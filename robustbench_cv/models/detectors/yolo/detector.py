"""The model around a YOLO network: letterbox, raw candidates, detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_cv.models.detection_postprocessing import detections
from robustbench_cv.models.detectors.yolo.decode import boxes, cells, log_score, logits
from robustbench_cv.models.detectors.yolo.loss import yolo_loss
from robustbench_cv.models.detectors.yolo.network import Yolo
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.models.trainable import HeadRows, InputFrame, Objects, Refusal, boxes_and_labels, rows_by_anchor, square_frame
from robustbench_cv.types import BoxPrediction, Candidates, ModelInfo


@dataclass(frozen=True, eq=False, kw_only=True)
class YoloDetector:
    """A Model of Candidates. side: the network's square input, px. threshold, nms_iou, top: what decode keeps."""

    module: Yolo
    info: ModelInfo
    side: int
    threshold: float = 0.005
    nms_iou: float = 0.45
    top: int = 100

    def raw(self, images: Tensor, /) -> Candidates:
        """Every candidate: boxes (N, K, 1, 4) in px of the images. Those whose cell is all grey border are not valid."""
        frame = Letterbox(images.shape[-2], images.shape[-1], self.side)
        maps = self.module(frame.images(images))
        objectness, classes = logits(maps)
        valid = frame.touched(cells(maps)).expand(len(images), -1)
        return Candidates(frame.back(boxes(maps, self.module.anchors))[:, :, None], log_score(objectness, classes), valid)

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        """Threshold, suppression within each class, the best `top`; on the CPU."""
        return detections(raw, self.threshold, self.nms_iou, self.top)

    learns_masks = False

    def refusal(self, spec: str, /) -> Refusal | None:
        """None: it can be fine-tuned."""
        return None

    def input_frame(self, height: int, width: int, /) -> InputFrame:
        """The square."""
        return square_frame(self.side)

    def loss(self, images: Tensor, objects: Sequence[Objects], /) -> Tensor:
        """Version 3's."""
        return yolo_loss([m.float() for m in self.module(images)], self.module.anchors, *boxes_and_labels(objects))

    def head_rows(self, length: int, /) -> HeadRows | None:
        """Box, objectness and classes of each anchor."""
        count = len(self.info.classes)
        return rows_by_anchor(length, 5 + count, 5 + torch.arange(count), torch.arange(5))
