"""The clean metrics of a model on a data set, as a card states them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from robustbench_cv.catalogue import METRICS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.types import AnyModel, Evidence, Sample, predict


def evaluate(model: AnyModel, samples: Iterable[Sample], metrics: Sequence[str], device: str = "cpu") -> Mapping[str, float]:
    """Each metric's value by its name. Samples to which a metric does not apply are left out of it."""
    made: list[Metric] = [METRICS.build(m, labels=model.info.classes, operating_score=model.info.operating_score) for m in metrics]
    evidence: list[list[Evidence]] = [[] for _ in made]
    for sample in samples:
        prediction = predict(model, sample.image[None].to(torch.device(device)))[0]
        for metric, kept in zip(made, evidence, strict=True):
            try:
                kept.append(metric.measure(prediction, sample))
            except NotApplicable:
                continue
    return {metric.name: metric.reduce(kept) for metric, kept in zip(made, evidence, strict=True)}
