"""What an attack did to a detector, from the evidence of detection_rates with and without it.

Clean mistakes are not credited to the attack: the reference set is the objects that were found without it. Definitions are
project choices; a box counts as fabricated where it overlaps no *annotated object* (clean false detections are subtracted as a
number, not matched one by one).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy
import pyarrow

from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.detection_rates import FOUND, MISLABELLED, OBJECTS, VANISHED
from robustbench_cv.metrics.evidence import Column, Side, aligned, all_ids, row_of
from robustbench_cv.metrics.intervals import estimate
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.ratios import Ratio
from robustbench_cv.metrics.score_intervals import wilson
from robustbench_cv.types import Evidence, Prediction, Sample

MANY = 10
"""So many more fabricated boxes than without the attack make a successful fabrication."""


class DetectionAttack(NamedTuple):
    """n_reference: objects found without the attack. vanished, mislabelled: shares of these under it.

    fabricated: additional fabricated boxes per image. fabrication: share of images with at least MANY more. touched: share of images in
    which an object of the reference set is lost or relabelled, or a box is added where no object is.
    """

    n_reference: int
    vanished: Estimate
    mislabelled: Estimate
    fabricated: Estimate
    fabrication: Estimate
    touched: Estimate


def detection_attack(clean: Side, attacked: Side) -> DetectionAttack:
    """Compare the evidence of samples that have both. ValueError where the two have different objects."""
    sides = [Column.taken(side, OBJECTS) for side in (clean, attacked)]
    excluded = all_ids(sides)
    before, after = aligned(sides)
    n = len(before)
    excluded -= n
    states = _states(before, after)
    of_reference = numpy.bincount(states.image, weights=states.before == FOUND, minlength=n)
    added = (_field(after, "fabricated") - _field(before, "fabricated")).astype(numpy.float64)
    harmed = numpy.bincount(states.image, weights=(states.before == FOUND) & (states.after != FOUND), minlength=n) > 0

    def ratio(name: str, above: numpy.ndarray, below: numpy.ndarray, undefined: str) -> Estimate:
        metric = Ratio(
            name=name,
            take=_of_two_conditions,
            split=lambda pairs: (pairs.field("above").to_numpy(), pairs.field("below").to_numpy()),
            undefined=undefined,
            higher_is_better=False,
            evidence_key=name,
            evidence_type=_SUMS,
        )
        sums = pyarrow.StructArray.from_arrays([pyarrow.array(part, pyarrow.float64()) for part in (above, below)], fields=list(_SUMS))
        return estimate(metric, sums, excluded=excluded)

    def became(name: str, state: int) -> Estimate:
        now = numpy.bincount(states.image, weights=(states.before == FOUND) & (states.after == state), minlength=n)
        return ratio(name, now, of_reference, "no object was found without the attack")

    def share(hits: numpy.ndarray) -> Estimate:
        if not len(hits):
            return Estimate(None, None, None, 0, excluded, reason="no image has both conditions")
        return Estimate(float(hits.mean()), *wilson(int(hits.sum()), len(hits)), len(hits), excluded)

    return DetectionAttack(
        n_reference=int(of_reference.sum()),
        vanished=became("vanished by the attack", VANISHED),
        mislabelled=became("mislabelled by the attack", MISLABELLED),
        fabricated=ratio("fabricated by the attack", added, numpy.ones(n), "no image"),
        fabrication=share(added >= MANY),
        touched=share((added > 0) | harmed),
    )


_SUMS = pyarrow.struct({"above": pyarrow.float64(), "below": pyarrow.float64()})


class _States(NamedTuple):
    """Of every object: the row of its image, its state without the attack, and under it."""

    image: numpy.ndarray
    before: numpy.ndarray
    after: numpy.ndarray


def _states(before: Column, after: Column) -> _States:
    lists = [side.values.field("objects") for side in (before, after)]
    lengths = [side.value_lengths().to_numpy(zero_copy_only=False) for side in lists]
    odd = numpy.flatnonzero(lengths[0] != lengths[1])
    if len(odd):
        first = odd[0]
        raise ValueError(f"{before.ids[first]} has {lengths[0][first]} objects in one condition and {lengths[1][first]} in the other")
    return _States(row_of(lists[0]), *(side.flatten().to_numpy() for side in lists))


def _field(side: Column, name: str) -> numpy.ndarray:
    values: numpy.ndarray = side.values.field(name).to_numpy()
    return values


def _of_two_conditions(prediction: Prediction, sample: Sample) -> Evidence:
    raise NotApplicable("made of the evidence of two conditions, not of a prediction")
