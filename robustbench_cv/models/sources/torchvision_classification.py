"""torchvision's classifiers, with the resizing, cropping and normalisation of their published evaluation."""

from __future__ import annotations

from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.sources.torchvision_builders import Request, build_module
from robustbench_cv.types import Labels

WITH_SLOW_START = ("googlenet", "inception_v3")
"""Builders whose own random initialisation takes seconds and warns; with init_weights=False they use torch's."""


def classification(request: Request, *, input_size: int | None = None) -> Classifier:
    """A classifier of torchvision.

    input_size: side in px of the square the network sees, instead of the published one; the margin cropped away stays in proportion.
    """
    made = build_module(request, options={"init_weights": False} if request.name in WITH_SLOW_START else None)
    transforms = made.published.transforms()
    crop, short = transforms.crop_size[0], transforms.resize_size[0]
    if input_size is not None:
        crop, short = input_size, round(short * input_size / crop)
    names = made.names or Labels.numbered(request.num_classes or 0).names
    return classifier(
        made.module,
        name=request.title,
        classes=Labels(names),
        mean=transforms.mean,
        std=transforms.std,
        input_size=(crop, crop),
        resize="crop",
        short=short,
        interpolation=transforms.interpolation.value,
        weights=request.weights or "",
    )
