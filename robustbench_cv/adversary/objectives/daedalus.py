"""Small sure boxes, which non-maximum suppression keeps. Wang et al., Daedalus, IEEE Trans. Cybernetics, https://arxiv.org/abs/1902.02067"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_cv.adversary.attack_references import Aim, Clean, detections_and_annotations
from robustbench_cv.adversary.objective import Objective
from robustbench_cv.boxes import area
from robustbench_cv.types import Candidates


@dataclass(frozen=True)
class ImageFrame:
    """A goal: the image's area in pixels, in units of which boxes are small."""

    pixels: int


def image_frames(clean: Clean[Candidates]) -> Aim[ImageFrame]:
    """Judged as a fabrication: against own detections and annotations together."""
    aim = detections_and_annotations(clean)
    goals = [ImageFrame(image.shape[-2] * image.shape[-1]) for image in clean.images]
    return Aim(aim.provenance, goals, aim.references)


def small_and_sure() -> Objective[Candidates, ImageFrame]:
    """Minus mean (p - 1)^2 minus mean (w h)^2 over all candidates: p the confidence of the best class, w and h in units of the image."""
    return Objective("daedalus", Candidates, _small_and_sure)


def _small_and_sure(raw: Candidates, goals: Sequence[ImageFrame], progress: float) -> Tensor:
    log_p, best = raw.log_score.max(dim=2)
    column = best if raw.boxes.shape[2] > 1 else torch.zeros_like(best)
    boxes = raw.boxes.gather(2, column[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
    pixels = torch.tensor([goal.pixels for goal in goals]).to(boxes)
    count = raw.valid.sum(dim=1).clamp(min=1)
    unsure = (log_p.exp() - 1).square().masked_fill(~raw.valid, 0.0).sum(dim=1) / count
    large = (area(boxes) / pixels[:, None]).square().masked_fill(~raw.valid, 0.0).sum(dim=1) / count
    return -unsure - large
