"""Every classification, segmentation and detection builder of torchvision, by its own name and with its own weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from robustbench_cv.arguments import Fraction, NonNegativeInt, PositiveInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.sources.torchvision_builders import Request, task_of
from robustbench_cv.tasks import Task
from robustbench_cv.types import AnyModel


@model(library="torchvision")
def torchvision(
    name: str,
    *,
    weights: str | None = None,
    checkpoint: str | None = None,
    classes: str | None = None,
    num_classes: PositiveInt | None = None,
    input_size: PositiveInt | None = None,
    min_size: NonNegativeInt | None = None,
    max_size: PositiveInt | None = None,
    score_thresh: Fraction | None = None,
    nms_thresh: Fraction | None = None,
    detections_per_img: PositiveInt | None = None,
    topk_candidates: PositiveInt | None = None,
) -> AnyModel:
    """A torchvision model: torchvision:resnet50(weights='DEFAULT').

    weights: torchvision's own name ('DEFAULT', 'IMAGENET1K_V2', 'COCO_V1'); None is random, from a fixed seed, and the name says so.
    checkpoint: a file instead. classes: "a,b,c" or a text file, one a line. num_classes: as the builder counts them (for detectors
    with the background); without it and classes, the label set that the published weights have.
    The rest is for one task, and None is what torchvision published: classification input_size; segmentation min_size (short side in
    px, 0 leaves the size alone); detection min_size, max_size, score_thresh, nms_thresh, detections_per_img, topk_candidates.
    """
    settings: dict[str, Any] = {
        "input_size": input_size,
        "min_size": min_size,
        "max_size": max_size,
        "score_thresh": score_thresh,
        "nms_thresh": nms_thresh,
        "detections_per_img": detections_per_img,
        "topk_candidates": topk_candidates,
    }
    request = Request(name.lower(), weights, checkpoint, classes, num_classes)
    adapt = _adapter(task_of(request.name))
    given = {key: value for key, value in settings.items() if value is not None}
    spare = sorted(set(given) - set(inspect.signature(adapt).parameters))
    if spare:
        raise UserError(f"torchvision:{name} is a {adapt.__name__} model, which has no {', '.join(spare)}; leave it out")
    return adapt(request, **given)


def _adapter(task: Task) -> Callable[..., AnyModel]:
    if task == "classification":
        from robustbench_cv.models.sources.torchvision_classification import classification

        return classification
    if task == "segmentation":
        from robustbench_cv.models.sources.torchvision_segmentation import segmentation

        return segmentation
    from robustbench_cv.models.sources.torchvision_detection import detection

    return detection
