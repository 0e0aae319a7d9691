"""From scores to detections as torchvision does it: threshold, top candidates, suppression per class, cap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from robustbench_cv.errors import UserError
from robustbench_cv.types import BoxPrediction


@dataclass(frozen=True)
class Settings:
    """A detector's own post-processing settings, read from its module. topk_candidates is None where the family has no such cap."""

    score_thresh: float
    nms_thresh: float
    detections_per_img: int
    topk_candidates: int | None = None

    @classmethod
    def of(cls, module: nn.Module) -> Settings:
        """As the module has them now."""
        held = vars(_holder(module))
        return cls(held["score_thresh"], held["nms_thresh"], held["detections_per_img"], held.get("topk_candidates"))

    @staticmethod
    def change(module: nn.Module, settings: Mapping[str, float], name: str) -> None:
        """Set some of them, before the model is used. UserError for one that the family does not have."""
        holder = _holder(module)
        for key, value in settings.items():
            if key not in vars(holder):
                raise UserError(f"{name} has no setting {key}; leave it out")
            setattr(holder, key, value)


def _holder(module: nn.Module) -> Any:
    """Two-stage detectors keep the settings in their RoI heads."""
    return dict(module.named_children()).get("roi_heads", module)


Choose: TypeAlias = Callable[[Tensor, Tensor, Settings], Tensor]
"""scores (K, C), valid (K,) -> bool (K, C): what goes into suppression."""


def every_one(scores: Tensor, valid: Tensor, settings: Settings) -> Tensor:
    """Whatever is above the threshold, in Faster R-CNN and its kin."""
    return (scores > settings.score_thresh) & valid[:, None]


def best_of_each_level(scores: Tensor, valid: Tensor, settings: Settings) -> Tensor:
    """The best (candidate, class) pairs of each pyramid level, in RetinaNet and FCOS. A level ends at a candidate of padding."""
    chosen = every_one(scores, valid, settings)
    start = 0
    for end in [*(~valid).nonzero()[:, 0].tolist(), len(valid)]:
        level = chosen[start:end]
        chosen[start:end] = _best(scores[start:end].flatten(), level.flatten(), settings).view_as(level)
        start = end + 1
    return chosen


def best_of_each_class(scores: Tensor, valid: Tensor, settings: Settings) -> Tensor:
    """The best candidates of each class, in SSD."""
    chosen = every_one(scores, valid, settings)
    return torch.stack([_best(s, c, settings) for s, c in zip(scores.T, chosen.T, strict=True)], dim=1)


def _best(scores: Tensor, chosen: Tensor, settings: Settings) -> Tensor:
    """Of the chosen, those with the topk_candidates highest scores: bool, as `chosen`."""
    places = chosen.nonzero()[:, 0]
    if settings.topk_candidates is None or len(places) <= settings.topk_candidates:
        return chosen
    best = places[scores[places].topk(settings.topk_candidates).indices]
    return torch.zeros_like(chosen).index_fill(0, best, True)


def suppress(choose: Choose, settings: Settings, boxes: Tensor, scores: Tensor, valid: Tensor) -> BoxPrediction:
    """Detections of one image, on the CPU: boxes (K, B, 4), scores (K, C), valid (K,) -> at most detections_per_img, scores falling."""
    candidate, label = choose(scores, valid, settings).nonzero(as_tuple=True)
    box = boxes[candidate, label if boxes.shape[1] > 1 else 0]
    score = scores[candidate, label]
    keep = batched_nms(box, score, label, settings.nms_thresh)[: settings.detections_per_img]
    return BoxPrediction(box[keep].cpu(), score[keep].cpu(), label[keep].cpu())
