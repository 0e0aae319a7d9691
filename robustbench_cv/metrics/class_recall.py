"""Recall of one class at the score at which a detector's boxes count as reported: what "removing k changes c" is measured with."""

from __future__ import annotations

import numpy
import pyarrow

from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import metric
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.average_precision import of_size
from robustbench_cv.metrics.coco_matching import MATCHES, coco_matches
from robustbench_cv.metrics.evidence import row_of
from robustbench_cv.metrics.metric import Labels, Metric
from robustbench_cv.metrics.ratios import Ratio


@metric(task="detection")
def class_recall(of: str, labels: Labels, operating_score: Fraction) -> Metric:
    """Share of a class's objects that are matched, by COCO's rules at IoU 0.5, with a box of at least the operating score.

    of: the class's name. UserError where the model has no such class.
    """
    if of not in labels.names:
        raise UserError(f"class-recall(of={of!r}): the model has no such class; it has {', '.join(labels.names)}")
    index = labels.index(of)

    def split(evidence: pyarrow.Array) -> tuple[numpy.ndarray, numpy.ndarray]:
        right = of_size(evidence.field("right").flatten(), 0) & 1 > 0
        labels_, scores = (_values(evidence.field(name)) for name in ("labels", "scores"))
        found = (labels_ == index) & (scores >= operating_score) & right
        classes, truths = _values(evidence.field("classes")), of_size(evidence.field("truths").flatten(), 0)
        n, of_class = len(evidence), classes == index
        above = numpy.bincount(row_of(evidence.field("labels"))[found], minlength=n)
        return above, numpy.bincount(row_of(evidence.field("classes"))[of_class], weights=truths[of_class], minlength=n)

    return Ratio(
        name=f"class-recall(of={of!r})",
        take=coco_matches,
        split=split,
        undefined=f"no annotated {of}",
        higher_is_better=True,
        evidence_key="coco",
        evidence_type=MATCHES,
        guess=lambda evidence: 0.0,
    )


def _values(lists: pyarrow.ListArray) -> numpy.ndarray:
    values: numpy.ndarray = lists.flatten().to_numpy(zero_copy_only=False)
    return values
