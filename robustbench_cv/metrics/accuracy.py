"""Accuracy of classifiers. An image without its main object has no right answer: it is left out, never counted as wrong."""

from __future__ import annotations

from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.ratios import Rate, finite, need
from robustbench_cv.types import ABSENT, ClassPrediction, ClassTarget, Labels, Prediction, Sample


@metric(task="classification", title="top-1 accuracy")
def top_1(labels: Labels | None = None) -> Metric:
    """Share of images whose most probable class is the right one (also called accuracy)."""
    return _top(1, labels)


@metric(task="classification", title="top-5 accuracy")
def top_5(labels: Labels | None = None) -> Metric:
    """Share of images whose right class is among the five most probable. Means nothing for models of five classes or fewer."""
    return _top(5, labels)


def _top(k: int, labels: Labels | None) -> Metric:
    name = f"top-{k}"

    def right(prediction: Prediction, sample: Sample) -> bool:
        probs = finite(need(prediction, ClassPrediction, name).probs, "probabilities")
        label = need(sample.target, ClassTarget, name).label
        if label == ABSENT:
            raise NotApplicable("the object was removed: no class is right")
        if not 0 <= label < len(probs):
            raise NotApplicable(f"{name}: label {label} is not one of the model's {len(probs)} classes")
        if 1 < len(probs) <= k:
            raise NotApplicable(f"{name} is always 1 for a model of {len(probs)} classes")
        # Equal probabilities rank by class index, as argmax has it.
        before = int((probs > probs[label]).sum() + (probs[:label] == probs[label]).sum())
        return before < k

    guess = None if labels is None else min(1.0, k / len(labels))
    return Rate(name=name, outcome=right, higher_is_better=True, evidence_key=name, guess=guess)
