"""Non-maximum suppression within each class: torchvision's kernel, without the rest of torchvision, whose import takes seconds."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

_MANY = 1000
"""Boxes on the CPU from which torchvision looks at each class by itself, and so do we: both ways give the same but for rounding."""


def batched_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Indices of the boxes that are left, best first: as torchvision.ops.batched_nms gives them, for tensors on the CPU.

    boxes: (N, 4) xyxy. scores: (N,). labels: (N,), the class of each. iou: overlap above which of two boxes of a class the weaker goes.
    """
    if len(boxes) == 0:
        return torch.empty(0, dtype=torch.int64)
    if len(boxes) <= _MANY:
        # Moved apart by class, so that boxes of different classes do not overlap.
        apart = boxes + (labels.to(boxes) * (boxes.max() + 1))[:, None]
        return _kernel()(apart, scores, iou)
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for label in sorted(set(labels.tolist())):
        places = (labels == label).nonzero()[:, 0]
        kept[places[_kernel()(boxes[places], scores[places], iou)]] = True
    left = kept.nonzero()[:, 0]
    return left[scores[left].sort(descending=True).indices]


@functools.cache
def _kernel() -> Callable[[Tensor, Tensor, float], Tensor]:
    """torchvision's operator, from its compiled library alone where that can be found, else with the whole package."""
    spec = importlib.util.find_spec("torchvision")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for library in sorted(Path(folder).glob("_C*.so")):
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
    if not hasattr(torch.ops.torchvision, "nms"):
        import torchvision  # noqa: F401
    kernel: Callable[[Tensor, Tensor, float], Tensor] = torch.ops.torchvision.nms
    return kernel
