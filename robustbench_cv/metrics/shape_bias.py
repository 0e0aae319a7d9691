"""Shape bias: of the answers that name the shape or the texture of an object, the share that name the shape."""

from __future__ import annotations

import numpy
import pyarrow

from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.metric import Labels, Metric
from robustbench_cv.metrics.ratios import Ratio, finite, need
from robustbench_cv.types import ClassPrediction, ClassTarget, Evidence, Prediction, Sample

NAME = "shape-bias"

CUES = pyarrow.struct({"shape": pyarrow.bool_(), "texture": pyarrow.bool_()})
"""The type of the evidence of one image: which of its two cues the answer named."""


@metric(task="classification")
def shape_bias(labels: Labels) -> Metric:
    """Share of the answers that name the object's shape among those that name its shape or its texture (Geirhos et al., ICLR 2019).

    Of images whose object has another class's texture (`cue-conflict`); answers that name neither count on no side.
    """

    def take(prediction: Prediction, sample: Sample) -> Evidence:
        probs = finite(need(prediction, ClassPrediction, NAME).probs, "probabilities")
        texture = sample.attributes.get("texture")
        if texture is None:
            raise NotApplicable("the object has its own texture")
        if texture not in labels.names:
            raise NotApplicable(f"the model has no class {texture!r}, whose texture the object has")
        answer = int(probs.argmax())
        return {"shape": answer == need(sample.target, ClassTarget, NAME).label, "texture": answer == labels.index(texture)}

    return Ratio(
        name=NAME,
        take=take,
        split=_split,
        undefined="no answer names the shape or the texture",
        higher_is_better=True,
        evidence_key=NAME,
        evidence_type=CUES,
        guess=lambda evidence: 0.5,
    )


def _split(evidence: pyarrow.Array) -> tuple[numpy.ndarray, numpy.ndarray]:
    shape, texture = (evidence.field(name).to_numpy(zero_copy_only=False).astype(numpy.float64) for name in ("shape", "texture"))
    return shape, numpy.maximum(shape, texture)
