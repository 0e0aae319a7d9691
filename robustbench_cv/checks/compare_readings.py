"""How well a model does on each sample under a changed reading of its input or output, and whether a change is significantly better.

Checks compare readings of the same 64 samples: declared against "channels swapped", "normalised twice" and so on. A reading accuses the
declared one only where more samples get better than exact sign tests allow for luck (Holm's correction over the readings tried), and
where the model knows something under that reading: it agrees with the labels beyond chance. The latter protects models that are merely
bad, whose constant answer may hit a frequent class under one reading and miss it under another. A visible gain stops, a small one warns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.check_findings import Verdict
from robustbench_cv.checks.check import Preflight
from robustbench_cv.metrics.paired_tests import holm, mcnemar, sign_flips
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

SIGNIFICANT = 0.01
"""One-sided p-value, after Holm's correction, under which a reading counts as better (project choice)."""

GAIN = 0.05
"""Mean quality from which the gain of a better reading stops a run; below it is a warning (project choice)."""

VISIBLE = 0.02
"""Mean quality under whose gain a reading is not worth a word, however significant (project choice)."""

SKILL = 0.1
"""Skill that the model must have under the better reading (project choice)."""


class Quality(NamedTuple):
    """How good the predictions of N samples are.

    right: top-1, share of scored pixels, or F1 of the reported boxes at IoU 0.5, float64 (N,) in [0, 1]. fine: a finer measure that
    ranks two predictions of one sample, float64 (N,). skill: agreement with the labels beyond chance, up to 1; of a detector the mean of
    `right` over the samples that hold an object or in which it reports one.
    """

    right: numpy.ndarray
    fine: numpy.ndarray
    skill: float


def measure(subject: Preflight, predictions: Sequence[Prediction], operating_score: float | None = None) -> Quality:
    """The quality of predictions of the subject's samples (of its first ones, where there are fewer).

    operating_score: from which boxes count, where it is not the model's own.
    """
    pairs = [(p, s.target) for p, s in zip(predictions, subject.samples[: len(predictions)], strict=True)]
    score = subject.model.info.operating_score if operating_score is None else operating_score
    right = numpy.array([_right(p, t, score) for p, t in pairs])
    fine = right if subject.task != "classification" else numpy.array([_likelihood(p, t) for p, t in pairs])
    if subject.task != "detection":
        return Quality(right, fine, beyond_chance(_labels(pairs), len(pairs)))
    told = [r for r, (p, t) in zip(right, pairs, strict=True) if _says_or_holds(p, t, score)]
    return Quality(right, fine, float(numpy.mean(told)) if told else 0.0)


def _says_or_holds(prediction: Prediction, target: Target, operating_score: float) -> bool:
    assert isinstance(prediction, BoxPrediction)
    assert isinstance(target, BoxTarget)
    return bool((prediction.scores >= operating_score).any()) or bool((~target.crowd).any())


def beyond_chance(pairs: Iterable[tuple[Tensor, Tensor]], n: int) -> float:
    """Cohen's kappa of (truth, said) labels, pooled, less two standard errors.

    Where each of the n pairs is an independent sample's many labels, the error is that of the samples' own agreement about chance (the
    ratio estimator of cluster sampling); where one pair holds all n samples' labels, the one that chance agreement would have.
    """
    counts, truth, said = [], torch.zeros(1), torch.zeros(1)
    for true_labels, said_labels in pairs:
        counts.append((float((true_labels == said_labels).sum()), float(true_labels.numel())))
        truth = _add_counts(truth, true_labels)
        said = _add_counts(said, said_labels[said_labels >= 0])
    width = min(len(truth), len(said))
    agreed, total = numpy.array(counts or [(0.0, 0.0)]).T
    chance = float((truth[:width] * said[:width]).sum()) / max(1.0, total.sum()) ** 2
    if total.sum() == 0 or chance >= 1:
        return 0.0
    share = agreed.sum() / total.sum()
    error = math.sqrt(chance * (1 - chance) / n)
    if len(counts) > 1:
        error = math.sqrt(len(counts) / (len(counts) - 1) * float(((agreed - share * total) ** 2).sum())) / total.sum()
    return float((share - chance - 2 * error) / (1 - chance))


def _add_counts(counts: Tensor, labels: Tensor) -> Tensor:
    more = torch.bincount(labels.flatten(), minlength=len(counts))
    more[: len(counts)] += counts.long()
    return more.double()


def _right(prediction: Prediction, target: Target, operating_score: float) -> float:
    if isinstance(prediction, ClassPrediction) and isinstance(target, ClassTarget):
        return float(prediction.label == target.label)
    if isinstance(prediction, MaskPrediction) and isinstance(target, MaskTarget):
        scored = target.labels != IGNORE
        return 1.0 - float(((prediction.labels != target.labels) & scored).sum()) / max(1, int(scored.sum()))
    assert isinstance(prediction, BoxPrediction)
    assert isinstance(target, BoxTarget)
    return _f1(prediction, target, operating_score)


def _likelihood(prediction: Prediction, target: Target) -> float:
    assert isinstance(prediction, ClassPrediction)
    assert isinstance(target, ClassTarget)
    return float(prediction.probs[target.label]) if 0 <= target.label < len(prediction.probs) else 0.0


def _labels(pairs: Sequence[tuple[Prediction, Target]]) -> Iterator[tuple[Tensor, Tensor]]:
    """(truth, said) labels: all samples' classes at once, or the scored pixels of one image after the other."""
    classes = [(t.label, p.label) for p, t in pairs if isinstance(t, ClassTarget) and isinstance(p, ClassPrediction)]
    if classes:
        truth, said = torch.tensor(classes).T
        yield truth, said
    for prediction, target in pairs:
        if isinstance(prediction, MaskPrediction) and isinstance(target, MaskTarget):
            scored = target.labels != IGNORE
            yield target.labels[scored], prediction.labels[scored]


def _f1(prediction: BoxPrediction, target: BoxTarget, operating_score: float) -> float:
    reported = prediction.scores >= operating_score
    reported_boxes, labels = prediction.boxes[reported], prediction.labels[reported]
    truth, truth_labels = target.boxes[~target.crowd], target.labels[~target.crowd]
    if len(reported_boxes) + len(truth) == 0:
        return 1.0
    hits = (boxes.iou(reported_boxes, truth) >= 0.5) & (labels[:, None] == truth_labels[None])
    return float(hits.any(0).sum() + hits.any(1).sum()) / (len(reported_boxes) + len(truth))


@dataclass(frozen=True)
class Comparison:
    """A reading against the declared one: mean quality, skill under the reading, and the one-sided p-value of its being better.

    least: the gain from which it counts, where a sound model may gain more than VISIBLE.
    """

    name: str
    declared: float
    changed: float
    skill: float
    p: float
    least: float = VISIBLE

    @property
    def gain(self) -> float:
        return self.changed - self.declared

    @property
    def is_better(self) -> bool:
        return self.p < SIGNIFICANT and self.gain >= self.least and self.skill >= SKILL

    @property
    def verdict(self) -> Verdict:
        """Of a better reading: whether the numbers are wrong, or only suspect."""
        return "pass" if not self.is_better else "stop" if self.gain >= GAIN else "warn"

    def __str__(self) -> str:
        luck = f" (p = {self.p:.2g})" if self.is_better else ""
        return f"{self.name}: {self.changed:.3f} against {self.declared:.3f} as declared{luck}"


def compare(name: str, declared: Quality, changed: Quality) -> Comparison:
    """The exact one-sided sign test over samples that `changed` is more often right; by how much, where samples are right in part."""
    return _comparison(name, declared, changed, sign_flips((changed.right - declared.right).tolist()))


def compare_finely(name: str, declared: Quality, changed: Quality) -> Comparison:
    """As `compare`, but by the finer measure too: the lower p-value, doubled for having tried two.

    Only for changes that leave the scale of the input alone: a stretched input makes any classifier surer, right or wrong.
    """
    p = 2 * min(sign_flips((changed.right - declared.right).tolist()), _sign_test(declared.fine, changed.fine))
    return _comparison(name, declared, changed, min(1.0, p))


def _comparison(name: str, declared: Quality, changed: Quality, p: float) -> Comparison:
    return Comparison(name, float(declared.right.mean()), float(changed.right.mean()), changed.skill, p)


def _sign_test(before: numpy.ndarray, after: numpy.ndarray) -> float:
    wins, losses = int((after > before).sum()), int((after < before).sum())
    return mcnemar(wins, losses).one_sided if wins > losses else 1.0


def no_evidence(declared: Quality, comparisons: Sequence[Comparison]) -> str:
    """Why nothing was compared: chance explains what is right under every reading, so that none can be better. Empty where it does not."""
    if max([declared.skill, *(c.skill for c in comparisons)]) > 0:
        return ""
    highest = max([float(declared.right.mean()), *(c.changed for c in comparisons)])
    return f"nothing to compare: chance explains what is right under every reading ({highest:.3f} at best)"


def best(comparisons: Sequence[Comparison]) -> Comparison | None:
    """The best of the significantly better readings, its p-value corrected for the number tried; None where the declared one holds.

    Of readings that cannot be told apart, the one that comes first.
    """
    corrected = [replace(c, p=p) for c, p in zip(comparisons, holm([c.p for c in comparisons]), strict=True)]
    better = [c for c in corrected if c.is_better]
    top = max((c.changed for c in better), default=0.0)
    return next((c for c in better if c.changed > top - VISIBLE), None)
