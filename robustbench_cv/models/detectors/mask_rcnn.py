"""Mask R-CNN. He, Gkioxari, Dollár, Girshick, ICCV 2017, https://arxiv.org/abs/1703.06870"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.faster_rcnn_library import from_torchvision
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector


@model(
    task="detection",
    family="Mask R-CNN",
    paper="arXiv:1703.06870",
    year=2017,
    source="torchvision",
    parameters=44_454_513,
    reduced="num_classes=4, min_size=64, max_size=96, score_thresh=0.001, detections_per_img=15",
)
def mask_rcnn(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    min_size: NonNegativeInt = 0,
    max_size: NonNegativeInt = 0,
    score_thresh: Fraction = 0.0,
    detections_per_img: NonNegativeInt = 0,
) -> TorchvisionDetector:
    """Faster R-CNN with a mask for every detection: predictions carry `masks`, bool (D, H, W).

    torchvision's, on a ResNet-50 with a pyramid. weights: torchvision's own ("DEFAULT", "COCO_V1"). checkpoint: a weights file. With
    neither, random parameters, the same every time. classes: "a,b,c". num_classes as torchvision counts (default 91). min_size, max_size:
    px of the short side and at most of the long one; score_thresh, detections_per_img: what decode keeps; 0 is torchvision's own.
    """
    settings = {"min_size": min_size, "max_size": max_size, "score_thresh": score_thresh, "detections_per_img": detections_per_img}
    return from_torchvision("mask-rcnn", "maskrcnn_resnet50_fpn", weights, checkpoint, classes, num_classes, **settings)
