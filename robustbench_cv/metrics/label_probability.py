"""The probability that a classifier gives to the labelled object's class, whether the object is still there or not."""

from __future__ import annotations

import numpy
import pyarrow

from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.ratios import Ratio, finite, need
from robustbench_cv.types import ABSENT, ClassPrediction, ClassTarget, Evidence, Prediction, Sample

NAME = "label-probability"

PROBABILITY = pyarrow.struct({"label": pyarrow.int32(), "probability": pyarrow.float64()})
"""The type of the evidence of one image."""


@metric(task="classification")
def label_probability() -> Metric:
    """Mean probability of the labelled object's class, of images without the object too: what V_min and V_mean compare."""
    return Ratio(
        name=NAME,
        take=_take,
        split=lambda evidence: (evidence.field("probability").to_numpy(zero_copy_only=False), numpy.ones(len(evidence))),
        undefined="no image with a label",
        higher_is_better=True,
        evidence_key=NAME,
        evidence_type=PROBABILITY,
        counts_absent=True,
    )


def _take(prediction: Prediction, sample: Sample) -> Evidence:
    probs = finite(need(prediction, ClassPrediction, NAME).probs, "probabilities")
    label = need(sample.target if sample.edit is None else sample.edit.before, ClassTarget, NAME).label
    if label == ABSENT:
        raise NotApplicable("the unedited image has no label")
    if not 0 <= label < len(probs):
        raise NotApplicable(f"{NAME}: label {label} is not one of the model's {len(probs)} classes")
    return {"label": label, "probability": float(probs[label])}
