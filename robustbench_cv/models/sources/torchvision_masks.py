"""Masks of Mask R-CNN's detections. He, Gkioxari, Dollár, Girshick, ICCV 2017, https://arxiv.org/abs/1703.06870

The mask head looks only at the boxes that are reported, so its work is part of decoding; `Candidates.features` carries the maps it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from robustbench_cv.types import BoxPrediction

THRESHOLD = 0.5
"""A pixel belongs to an object where the mask's probability is above this (section 3.1)."""


def has_masks(module: nn.Module) -> bool:
    """Whether a detector has a mask head."""
    heads: Any = dict(module.named_children()).get("roi_heads")
    return heads is not None and bool(heads.has_mask())


def mask_features(module: nn.Module, features: Mapping[str, Tensor], images: Tensor, inner: tuple[int, int]) -> tuple[Tensor, ...]:
    """What decoding needs of a batch: sizes (N, 4), height and width of the images and of what the network sees of them; then the maps."""
    sizes = torch.tensor([[*images.shape[-2:], *inner]]).expand(len(images), -1)
    return (sizes, *(features[name].detach() for name in _names(module.roi_heads)))


def with_masks(module: nn.Module, found: BoxPrediction, columns: Tensor, features: Sequence[Tensor]) -> BoxPrediction:
    """The detections of one image with their masks. columns (D,): the module's own numbers of their classes; features: of this image."""
    sizes, *levels = features
    height, width, h, w = sizes.tolist()
    heads: Any = module.roi_heads
    maps = dict(zip(_names(heads), (level[None] for level in levels), strict=True))
    boxes = (found.boxes * found.boxes.new_tensor([w / width, h / height, w / width, h / height])).to(levels[0].device)
    if len(boxes) == 0:
        return replace(found, masks=torch.zeros(0, height, width, dtype=torch.bool))
    with torch.no_grad():
        logits = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(maps, [boxes], [(h, w)])))
    probs = logits[torch.arange(len(boxes)), columns.to(logits.device)].sigmoid().float().cpu()
    # One at a time: a hundred soft masks of a large photograph would take gigabytes.
    drawn = [
        paste_masks_in_image(p[None, None], b[None], (height, width))[0, 0] > THRESHOLD for p, b in zip(probs, found.boxes, strict=True)
    ]
    return replace(found, masks=torch.stack(drawn))


def _names(heads: Any) -> list[str]:
    """The maps that the mask head reads."""
    pool = heads.mask_roi_pool
    return list(getattr(pool, "levels", None) or pool.featmap_names)
