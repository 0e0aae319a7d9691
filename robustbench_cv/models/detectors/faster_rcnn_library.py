"""Detectors that torchvision keeps well, under names of ours: its network, its weights, its preprocessing."""

from __future__ import annotations

from dataclasses import replace

from robustbench_cv.models.sources.torchvision_builders import Request
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector, detection


def from_torchvision(
    name: str, builder: str, weights: str, checkpoint: str, classes: str, num_classes: int, **settings: float
) -> TorchvisionDetector:
    """torchvision's `builder` with some of its settings changed. weights: its own name for them; "" and 0: not said."""
    request = Request(builder, weights or None, checkpoint or None, classes or None, num_classes or None)
    made = detection(request, **{key: value for key, value in settings.items() if value})  # type: ignore[arg-type]
    title = f"{name}.{weights}" if weights else name if checkpoint else f"{name} (random weights)"
    return replace(made, info=replace(made.info, name=title))
