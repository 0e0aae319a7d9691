"""Classifiers that another library keeps well, under names of ours: its network, its weights, its preprocessing."""

from __future__ import annotations

from dataclasses import replace

from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.sources.timm import timm
from robustbench_cv.models.sources.torchvision_builders import Request
from robustbench_cv.models.sources.torchvision_classification import classification


def from_torchvision(name: str, builder: str, weights: str, checkpoint: str, classes: str, num_classes: int, input_size: int) -> Classifier:
    """torchvision's `builder`. weights: its own name for them ("DEFAULT", "IMAGENET1K_V2"); "", 0: not said. UserError as that source."""
    request = Request(builder, weights or None, checkpoint or None, classes or None, num_classes or None)
    return _with_title(classification(request, input_size=input_size or None), name, weights, checkpoint)


def from_timm(name: str, builder: str, weights: str, checkpoint: str, classes: str, num_classes: int, input_size: int) -> Classifier:
    """timm's `builder`. weights: its tag for them ("a1_in1k"), or "DEFAULT"; "", 0: not said. UserError as that source."""
    made = timm(
        f"{builder}.{weights}" if weights and weights != "DEFAULT" else builder,
        pretrained=bool(weights),
        checkpoint=checkpoint or None,
        classes=classes or None,
        num_classes=num_classes or None,
        input_size=input_size or None,
    )
    return _with_title(made, name, weights, checkpoint)


def _with_title(made: Classifier, name: str, weights: str, checkpoint: str) -> Classifier:
    """Under our name, with the weights' tag, or with the warning that there are none."""
    title = f"{name}.{weights}" if weights else name if checkpoint else f"{name} (random weights)"
    return replace(made, info=replace(made.info, name=title))
