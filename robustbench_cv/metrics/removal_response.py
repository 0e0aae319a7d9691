"""How a segmenter's answer for one class responds when another class is removed from the picture.

After the pairwise response of Shetty, Schiele & Fritz, "Not Using the Car to See the Sidewalk", CVPR 2019 (arXiv:1812.06707).
The paper's exact formula is unverified; the ones here are project choices. Both images are scored against the truth outside
the edited region: the evidence of "before" is of the unedited image with the edit's `before` target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
import pyarrow

from robustbench_cv.metrics.evidence import Column, Side, aligned
from robustbench_cv.metrics.intervals import estimate, paired_difference
from robustbench_cv.metrics.iou import CONFUSION, pixels_by_class
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.ratios import Rate, Ratio, quotient
from robustbench_cv.types import Evidence, Prediction, Sample

CHANGES = (0.05, 0.10, 0.20)
"""Changes of an image's IoU beyond which it counts as affected."""

FEWEST = 10
"""A cell of the matrix with fewer images is left blank."""


LEAST_IOU = 0.01
"""What a relative loss is taken of, where the unedited image's own IoU is less (project choice)."""


class Shown(NamedTuple):
    """A number under a removal, under its placebo, and the first less the second, of the same images."""

    removal: Estimate
    control: Estimate
    difference: Estimate


class Affected(NamedTuple):
    """The images that hold class i, when class k is removed from them.

    shares: AR(i, k), of those whose own IoU of i changes by more than each of CHANGES, either way. loss: AR_rel, the mean of the IoU lost
    over what it was.
    """

    shares: tuple[Shown, ...]
    loss: Shown


def affected_images(sides: Sequence[Side], index: int) -> Affected:
    """Of class `index`, over the images that hold it and have all evidence.

    sides: evidence of mIoU after a removal, before it, after its placebo, before that.
    """
    shared = aligned([Column.taken(side, CONFUSION) for side in sides])
    ious = [_image_ious(side, index) for side in shared]
    held = ~numpy.isnan(ious).any(axis=0)
    ids = shared[0].ids.filter(pyarrow.array(held))
    new, old, control_new, control_old = (iou[held] for iou in ious)
    changes = new - old, control_new - control_old
    shares = tuple(_shown(_BEYOND, ids, [numpy.abs(change) > limit for change in changes]) for limit in CHANGES)
    lost = [-change / numpy.maximum(was, LEAST_IOU) for change, was in zip(changes, (old, control_old), strict=True)]
    return Affected(shares, _shown(_LOST, ids, lost))


def _shown(metric: Metric, ids: pyarrow.Array, values: list[numpy.ndarray]) -> Shown:
    removal, control = (Column(ids, pyarrow.array(value, metric.evidence_type)) for value in values)
    return Shown(estimate(metric, removal.values), estimate(metric, control.values), paired_difference(metric, removal, control))


def _derived(prediction: Prediction, sample: Sample) -> Evidence:
    raise TypeError("it is made of the evidence of mIoU, not of a prediction")


_BEYOND = Rate(name="AR", outcome=_derived, higher_is_better=False, evidence_key="")

_LOST = Ratio(
    name="AR_rel",
    take=_derived,
    split=lambda evidence: (evidence.to_numpy(zero_copy_only=False), numpy.ones(len(evidence))),
    undefined="no image",
    higher_is_better=False,
    evidence_key="",
    evidence_type=pyarrow.float64(),
    range=(-1 / LEAST_IOU, 1.0),
)


def changed_images(after: Side, before: Side, index: int) -> dict[float, float] | None:
    """Share of the images whose own IoU of class `index` changes by more than each of CHANGES, either way.

    From the evidence of mIoU, over the images that have both and a scored pixel of the class; None below FEWEST of them.
    """
    new, old = (_image_ious(side, index) for side in aligned([Column.taken(side, CONFUSION) for side in (after, before)]))
    changes = numpy.abs(new - old)
    changes = changes[~numpy.isnan(changes)]
    if len(changes) < FEWEST:
        return None
    return {limit: float((changes > limit).mean()) for limit in CHANGES}


def _image_ious(side: Column, index: int) -> numpy.ndarray:
    """Each image's own IoU of a class; NaN where the truth has no scored pixel of it."""
    pixels = pixels_by_class(side.values)
    place = numpy.flatnonzero(pixels.classes == index)
    if not len(place):
        return numpy.full(len(side), numpy.nan)
    shared, predicted, truth = (counts[:, place[0]] for counts in pixels[1:])
    return quotient(shared, numpy.where(truth > 0, predicted + truth - shared, 0))
