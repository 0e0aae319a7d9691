"""When an attack has done what it came for, judged on decoded predictions only.

A criterion gives each sample a degree in [0, 1] (the share of wrong pixels, of vanished objects) and a threshold from which on the sample
counts as broken. Detections are those at or above the model's operating score; "overlap" is IoU >= 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from robustbench_cv.boxes import iou
from robustbench_cv.types import (
    IGNORE,
    BoxPrediction,
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    MaskPrediction,
    MaskTarget,
    Prediction,
    Target,
)

OVERLAP = 0.5


@dataclass(frozen=True)
class Success:
    """degree: (predictions, references) -> float (N,) in [0, 1]. A sample is broken where degree >= threshold."""

    criterion: str
    degree: Callable[[Sequence[Prediction], Sequence[Target]], Tensor]
    threshold: float = 1.0

    def __call__(self, predictions: Sequence[Prediction], references: Sequence[Target], /) -> Tensor:
        """bool (N,)."""
        return self.degree(predictions, references) >= self.threshold


def misclassified() -> Success:
    """The most probable class is not the target's.

    >>> misclassified()([ClassPrediction(torch.tensor([0.2, 0.8]))], [ClassTarget(0)])
    tensor([True])
    """
    return Success("misclassified", _wrong_class)


def pixels_wrong(share: float = 0.5) -> Success:
    """At least `share` of the scored pixels (label not 255) are wrong (the threshold is a project choice)."""
    return Success(f"at least {share:.0%} of the scored pixels wrong", _wrong_pixels, share)


def objects_vanished(share: float = 1.0) -> Success:
    """At least `share` of the reference objects are overlapped by no reported box of any class."""
    return Success(f"at least {share:.0%} of the reference objects no longer reported", _vanished_share, share)


def boxes_fabricated(boxes: int = 10) -> Success:
    """At least `boxes` reported boxes overlap no reference object (10: project choice)."""
    return Success(f"at least {boxes} reported boxes where no reference object is", partial(_fabricated_share, enough=boxes))


def objects_mislabelled(share: float = 1.0) -> Success:
    """At least `share` of the reference objects are overlapped by a reported box, but by none of their own class."""
    return Success(f"at least {share:.0%} of the reference objects reported as another class", _mislabelled_share, share)


def prediction_wrong() -> Success:
    """For any task: misclassified; half of the scored pixels wrong; or a detection lost, relabelled or fabricated."""
    return Success("misclassified, half of the pixels wrong, or the set of detections changed", _wrong_predictions)


def reported_predictions(predictions: Sequence[Prediction], operating_score: float) -> list[Prediction]:
    """Predictions with the boxes below the operating score left out; other predictions as they are."""
    return [_reported_boxes(p, operating_score) if isinstance(p, BoxPrediction) else p for p in predictions]


def _reported_boxes(prediction: BoxPrediction, operating_score: float) -> BoxPrediction:
    keep = prediction.scores >= operating_score
    return replace(prediction, boxes=prediction.boxes[keep], scores=prediction.scores[keep], labels=prediction.labels[keep])


def _wrong_class(predictions: Sequence[Prediction], references: Sequence[Target]) -> Tensor:
    probs, labels = [], []
    for prediction, target in zip(predictions, references, strict=True):
        assert isinstance(prediction, ClassPrediction)
        assert isinstance(target, ClassTarget)
        probs.append(prediction.probs)
        labels.append(target.label)
    return (torch.stack(probs).argmax(dim=1).cpu() != torch.tensor(labels)).float()


def _wrong_pixels(predictions: Sequence[Prediction], references: Sequence[Target]) -> Tensor:
    shares = []
    for prediction, target in zip(predictions, references, strict=True):
        assert isinstance(prediction, MaskPrediction)
        assert isinstance(target, MaskTarget)
        labels = target.labels.to(prediction.labels.device)
        scored = labels != IGNORE
        shares.append(((prediction.labels != labels) & scored).sum() / scored.sum().clamp(min=1))
    return torch.stack(shares).float().cpu()


def _vanished_share(predictions: Sequence[Prediction], references: Sequence[Target]) -> Tensor:
    return _per_image(predictions, references, lambda overlap, _: ~overlap.any(dim=0))


def _mislabelled_share(predictions: Sequence[Prediction], references: Sequence[Target]) -> Tensor:
    return _per_image(predictions, references, lambda overlap, same: overlap.any(dim=0) & ~(overlap & same).any(dim=0))


def _fabricated_share(predictions: Sequence[Prediction], references: Sequence[Target], enough: int) -> Tensor:
    counts = [int((~overlap.any(dim=1)).sum()) for overlap, _ in map(_matches, predictions, references)]
    return (torch.tensor(counts) / enough).clamp(max=1.0)


def _wrong_predictions(predictions: Sequence[Prediction], references: Sequence[Target]) -> Tensor:
    return torch.stack([_wrong_prediction(p, t) for p, t in zip(predictions, references, strict=True)])


def _wrong_prediction(prediction: Prediction, target: Target) -> Tensor:
    if isinstance(prediction, ClassPrediction):
        return _wrong_class([prediction], [target])[0]
    if isinstance(prediction, MaskPrediction):
        return (_wrong_pixels([prediction], [target])[0] >= OVERLAP).float()
    overlap, same = _matches(prediction, target)
    lost_or_relabelled = ~(overlap & same).any(dim=0)
    return (lost_or_relabelled.any() | (~overlap.any(dim=1)).any()).float()


def _per_image(predictions: Sequence[Prediction], references: Sequence[Target], hit: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Share of the reference objects that `hit` marks, 0 in an image without any."""
    hits = [hit(overlap, same) for overlap, same in map(_matches, predictions, references)]
    return torch.stack([h.float().mean() if len(h) else torch.zeros(()) for h in hits])


def _matches(prediction: Prediction, target: Target) -> tuple[Tensor, Tensor]:
    """Which detections overlap which reference objects, and which share the class: bool (D, M) both, on the CPU."""
    assert isinstance(prediction, BoxPrediction)
    assert isinstance(target, BoxTarget)
    overlap = iou(prediction.boxes.cpu(), target.boxes.cpu()) >= OVERLAP
    return overlap, prediction.labels.cpu()[:, None] == target.labels.cpu()[None, :]
