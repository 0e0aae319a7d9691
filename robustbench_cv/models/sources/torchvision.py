"""Every classification, segmentation and detection builder of torchvision, by its own name and with its own weights."""

from __future__ import annotations

from typing import Any

from robustbench_cv.catalogue import model
from robustbench_cv.models.sources.torchvision_builders import Request, task_of
from robustbench_cv.types import AnyModel


@model()
def torchvision(
    name: str,
    *,
    weights: str | None = None,
    checkpoint: str | None = None,
    classes: str | None = None,
    num_classes: int | None = None,
    **settings: Any,
) -> AnyModel:
    """A torchvision model: torchvision:resnet50(weights='DEFAULT').

    weights: torchvision's own name ('DEFAULT', 'IMAGENET1K_V2', 'COCO_V1'); None is random, from a fixed seed, and the name says so.
    checkpoint: a file instead. classes: "a,b,c" or a text file, one a line. num_classes: as the builder counts them (for detectors
    with the background); without it and classes, the label set that the published weights have.
    settings: classification input_size; segmentation min_size (short side in px, 0 leaves the size alone); detection min_size,
    max_size, score_thresh, nms_thresh, detections_per_img, topk_candidates.
    """
    request = Request(name.lower(), weights, checkpoint, classes, num_classes)
    task = task_of(request.name)
    if task == "classification":
        from robustbench_cv.models.sources.torchvision_classification import classification

        return classification(request, **settings)
    if task == "segmentation":
        from robustbench_cv.models.sources.torchvision_segmentation import segmentation

        return segmentation(request, **settings)
    from robustbench_cv.models.sources.torchvision_detection import detection

    return detection(request, **settings)
