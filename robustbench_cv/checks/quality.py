"""How well a model does on each sample under a changed reading of its input or output, and whether a change is significantly better.

Checks compare readings of the same 64 samples: declared against "channels swapped", "normalised twice" and so on. The comparison is
paired and exact, so that a handful of lucky samples accuses nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy
import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.checks.check import Preflight
from robustbench_cv.metrics.significance import mcnemar
from robustbench_cv.types import IGNORE, BoxPrediction, BoxTarget, ClassTarget, MaskTarget, Model, Prediction, Sample, Target

SIGNIFICANT = 0.01
"""One-sided p-value under which a reading counts as better (project choice)."""

GAIN = 0.05
"""Mean quality that a better reading must gain besides (project choice)."""

Change = Callable[[Tensor], Tensor]


def predictions(subject: Preflight, change: Change | None = None, samples: Sequence[Sample] | None = None) -> list[Prediction]:
    """The model's prediction of each sample alone, its image changed first. Values may leave [0, 1]: that is what is being tried."""
    model = cast("Model[Any]", subject.model)
    found: list[Prediction] = []
    with torch.no_grad():
        for sample in subject.samples if samples is None else samples:
            image = sample.image.to(subject.device)[None]
            found += model.decode(model.raw(image if change is None else change(image)))
    return found


def quality(prediction: Prediction, target: Target, operating_score: float) -> float:
    """How right a prediction is, in [0, 1]: top-1; share of scored pixels; F1 of the reported boxes at IoU 0.5."""
    if isinstance(target, ClassTarget):
        return float(getattr(prediction, "label", None) == target.label)
    if isinstance(target, MaskTarget):
        scored = target.labels != IGNORE
        wrong = cast(Any, prediction).labels != target.labels
        return 1.0 - float((wrong & scored).sum()) / max(1, int(scored.sum()))
    return _f1(cast(BoxPrediction, prediction), target, operating_score)


def qualities(subject: Preflight, found: Sequence[Prediction]) -> numpy.ndarray:
    """The quality of each prediction: float64 (N,)."""
    score = subject.model.info.operating_score
    return numpy.array([quality(p, s.target, score) for p, s in zip(found, subject.samples, strict=True)])


def _f1(prediction: BoxPrediction, target: BoxTarget, operating_score: float) -> float:
    reported = prediction.scores >= operating_score
    found, labels = prediction.boxes[reported], prediction.labels[reported]
    truth, truth_labels = target.boxes[~target.crowd], target.labels[~target.crowd]
    if len(found) + len(truth) == 0:
        return 1.0
    hits = (boxes.iou(found, truth) >= 0.5) & (labels[:, None] == truth_labels[None])
    return float(hits.any(0).sum() + hits.any(1).sum()) / (len(found) + len(truth))


@dataclass(frozen=True)
class Comparison:
    """A reading against the declared one: mean qualities, and whether the gain is significant."""

    name: str
    declared: float
    changed: float
    p: float

    @property
    def is_better(self) -> bool:
        return self.p < SIGNIFICANT and self.changed - self.declared >= GAIN

    def __str__(self) -> str:
        return f"{self.name}: {self.changed:.3f} against {self.declared:.3f} as declared (p = {self.p:.2g})"


def compare(name: str, declared: numpy.ndarray, changed: numpy.ndarray) -> Comparison:
    """The exact one-sided sign test over samples: that `changed` is better."""
    wins, losses = int((changed > declared).sum()), int((changed < declared).sum())
    return Comparison(name, float(declared.mean()), float(changed.mean()), mcnemar(wins, losses).one_sided if wins > losses else 1.0)


def best(comparisons: Sequence[Comparison]) -> Comparison | None:
    """The best of the significantly better readings; None where the declared one holds."""
    better = [c for c in comparisons if c.is_better]
    return max(better, key=lambda c: c.changed) if better else None
