"""torchvision's segmenters; their scores come back at the image's own resolution."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.checkpoint import has_auxiliary_heads
from robustbench_cv.models.sources.torchvision_builders import Request, build_module
from robustbench_cv.types import Labels


def segmentation(request: Request, *, min_size: int | None = None) -> Segmenter:
    """A segmenter of torchvision.

    min_size: the short side in px that the network sees, instead of the published 520; 0 leaves the image's size alone.
    The background is a class of its own here, named "background".
    """
    auxiliary = request.checkpoint is not None and has_auxiliary_heads(request.checkpoint)
    made = build_module(request, options={"aux_loss": True} if auxiliary else None)
    transforms = made.published.transforms()
    names = made.names or Labels.numbered(request.num_classes or 0).names
    return segmenter(
        made.module,
        name=request.title,
        classes=Labels(tuple("background" if name == "__background__" else name for name in names)),
        mean=transforms.mean,
        std=transforms.std,
        short=transforms.resize_size[0] if min_size is None else min_size or None,
        interpolation=transforms.interpolation.value,
        output=main_scores,
        weights=request.weights or "",
    )


def main_scores(output: dict[str, Any]) -> Tensor:
    """The scores that torchvision's segmenters keep under "out", beside those of the auxiliary head."""
    scores: Tensor = output["out"]
    return scores
