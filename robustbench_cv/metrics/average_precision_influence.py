"""What each image adds to an average precision: its derivative by the image's weight.

Average precision is taken as the sum over true positives k of e_k / M, with M objects and e_k the largest precision at k or beyond, which
is attained at some true positive m(k). A little more weight of an image adds its own true positives, moves the precision at every m(k)
that ranks at or below its detections, and adds its objects to M. (Our own derivation; a test holds it against leaving each image out.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy


def precision_influence(
    image: numpy.ndarray, right: numpy.ndarray, wrong: numpy.ndarray, truths: numpy.ndarray, thresholds: Sequence[int]
) -> numpy.ndarray:
    """Of one class, the mean over thresholds: float64 (N,). The fields of `Ranked`; truths (N,) must have an object."""
    n, objects = len(truths), truths.sum()
    total = numpy.zeros(n)
    counted = right | wrong
    for t in thresholds:
        kept = numpy.flatnonzero((counted >> t) & 1)
        hit = ((right[kept] >> t) & 1).astype(bool)
        if not hit.any():
            continue
        seen = numpy.arange(1, len(kept) + 1, dtype=numpy.float64)
        hits = numpy.flatnonzero(hit)
        precision = numpy.arange(1, len(hits) + 1) / seen[hits]
        peak = _peaks(precision)
        envelope = precision[peak]
        # Of each peak the share of recall that has its precision, over the detections that it is a precision of.
        weight = numpy.bincount(peak, minlength=len(hits)) / objects / seen[hits]
        below = numpy.cumsum((weight)[::-1])[::-1], numpy.cumsum((weight * precision)[::-1])[::-1]
        # The first true positive at or below each detection, from which on the peaks are moved by it.
        first = numpy.searchsorted(hits, numpy.arange(len(kept)))
        reached = first < len(hits)
        moved = numpy.zeros(len(kept))
        moved[reached] = -below[1][first[reached]]
        moved[hits] += below[0] + envelope / objects
        total += numpy.bincount(image[kept], weights=moved, minlength=n) - envelope.sum() / objects * truths / objects
    return total / len(thresholds)


def _peaks(precision: numpy.ndarray) -> numpy.ndarray:
    """Of each true positive, the one at or beyond it with the largest precision, the last of equals."""
    backwards = precision[::-1]
    largest = numpy.maximum.accumulate(backwards)
    is_peak = numpy.concatenate([[True], backwards[1:] > largest[:-1]])
    place = numpy.maximum.accumulate(numpy.where(is_peak, numpy.arange(len(backwards)), 0))
    peaks: numpy.ndarray = (len(precision) - 1 - place)[::-1]
    return peaks
