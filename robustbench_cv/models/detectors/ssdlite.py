"""SSDlite with MobileNet v3 large, by torchvision. Sandler et al. 2018 (SSDlite), https://arxiv.org/abs/1801.04381; Howard et al. 2019"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, Fraction
from robustbench_cv.catalogue import model
from robustbench_cv.types import AnyModel


@model(
    task="detection",
    family="SSD",
    paper="arXiv:1801.04381",
    year=2018,
    source="torchvision",
    parameters=3_440_060,
    reduced="num_classes=4, score_thresh=0.01",
)
def ssdlite(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    score_thresh: Fraction | None = None,
    nms_thresh: Fraction | None = None,
) -> AnyModel:
    """torchvision:ssdlite320_mobilenet_v3_large under a name of its own; its arguments mean the same.

    weights: torchvision's own name ('DEFAULT', 'COCO_V1'). checkpoint: a file instead. classes: "a,b,c". num_classes: with the background.
    """
    from robustbench_cv.models.sources.torchvision_builders import Request
    from robustbench_cv.models.sources.torchvision_detection import detection

    request = Request("ssdlite320_mobilenet_v3_large", weights or None, checkpoint or None, classes or None, num_classes or None)
    return detection(request, score_thresh=score_thresh, nms_thresh=nms_thresh)
