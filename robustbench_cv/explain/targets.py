"""What is explained: one number that a model says of each image. The score of a class, of a region's pixels, or of one detection."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, cast

import torch
from torch import Tensor

from robustbench_cv.boxes import iou
from robustbench_cv.types import AnyModel, Candidates, Logits, Model, PixelLogits, Raw

Unit: TypeAlias = Literal["probability", "logit"]
"""Probabilities are what occlusion, insertion and deletion compare; a logit's gradient does not vanish where the model is sure."""

Score: TypeAlias = Callable[[Tensor], Tensor]
"""Images (N, 3, H, W) in [0, 1] -> (N,). Differentiable; each image's score is its own."""

OVERLAP = 0.5
"""IoU from which a candidate counts for a detection (project choice: that of AP50)."""

_SMALLEST = 1e-6


class Explained(Protocol):
    """One number of each image, from a model's raw output."""

    def of(self, raw: Raw, unit: Unit) -> Tensor: ...


@dataclass(frozen=True)
class ClassScore:
    """A classifier's score of one class: softmax probability, or logit.

    >>> ClassScore(1).of(Logits(torch.tensor([[0.0, 0.0]])), "probability")
    tensor([0.5000])
    """

    label: int

    def of(self, raw: Raw, unit: Unit) -> Tensor:
        """(N,)."""
        values = cast(Logits, raw).values
        return (values.softmax(dim=1) if unit == "probability" else values)[:, self.label]


@dataclass(frozen=True, eq=False)
class RegionScore:
    """A segmenter's score of one class, the mean over the pixels of a region, bool (H, W), of the images' own size."""

    label: int
    region: Tensor

    def of(self, raw: Raw, unit: Unit) -> Tensor:
        """(N,). ValueError where the region has no pixel."""
        values = cast(PixelLogits, raw).values
        region = self.region.to(values.device)
        if not region.any():
            raise ValueError("a region without a pixel has no score; leave such samples out")
        return (values.softmax(dim=1) if unit == "probability" else values)[:, self.label][:, region].mean(dim=1)


@dataclass(frozen=True, eq=False)
class DetectionScore:
    """A detector's confidence in one detection: the best score of its class over all candidates whose box overlaps it by half.

    box: (4,) xyxy in px. No such candidate: probability 0. The logit is the log odds, of probabilities kept 1e-6 away from 0 and 1.
    """

    label: int
    box: Tensor

    def of(self, raw: Raw, unit: Unit) -> Tensor:
        """(N,). Boxes count by where they are, without a gradient of their own."""
        candidates = cast(Candidates, raw)
        n, k, per_box = candidates.boxes.shape[:3]
        boxes = candidates.boxes.detach()[:, :, self.label if per_box > 1 else 0]
        there = iou(boxes.reshape(n * k, 4), self.box.to(boxes)[None]).reshape(n, k) >= OVERLAP
        log_score = candidates.log_score[..., self.label].masked_fill(~(there & candidates.valid), -math.inf).amax(dim=1)
        found = log_score > -math.inf
        probability = torch.where(found, log_score.masked_fill(~found, 0.0).exp(), torch.zeros_like(log_score))
        return probability if unit == "probability" else probability.clamp(_SMALLEST, 1 - _SMALLEST).logit()


def score_of(model: AnyModel, explained: Explained, unit: Unit) -> Score:
    """The function of the images that a method explains."""
    known = cast("Model[Any]", model)
    return lambda images: explained.of(known.raw(images), unit)
