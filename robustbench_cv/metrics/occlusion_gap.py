"""What being hidden costs: recall over whole, occluded and separated objects of the same images, and how much lower the latter two are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustbench_cv.metrics.evidence import Column, Side
from robustbench_cv.metrics.intervals import Moments, difference_of, estimate, moments_of
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.ratios import Ratio


class OcclusionGap(NamedTuple):
    """recalls: of whole, occluded and separated objects. gaps: of the latter two, less that of whole ones. objects: how many of each."""

    recalls: tuple[Estimate, Estimate, Estimate]
    gaps: tuple[Estimate, Estimate]
    objects: tuple[int, int, int]


def occlusion_gap(metrics: Sequence[Ratio], side: Side, excluded: int = 0, *, level: float = 0.95) -> OcclusionGap:
    """metrics: the recalls of whole, occluded and separated objects, which share their evidence. excluded: images without any.

    The three are of the same images, so that the influences of an image on two of them are subtracted.
    """
    whole, occluded, separated = metrics
    values = Column.taken(side, whole.evidence_type).values
    moments = [moments_of(metric, values) for metric in metrics]

    def gap(k: int) -> Estimate:
        missing = next((m.reason for m in (moments[0], moments[k]) if m.value is None), None)
        if missing is not None:
            return Estimate(None, None, None, len(values), excluded, reason=missing)
        return difference_of(whole, _less(moments[k], moments[0]), [moments[0], moments[k]], len(values), excluded, level=level)

    counted = [int(metric.parts(values)[1].sum()) if len(values) else 0 for metric in metrics]
    first, second, third = (estimate(metric, values, excluded=excluded, level=level) for metric in (whole, occluded, separated))
    return OcclusionGap((first, second, third), (gap(1), gap(2)), (counted[0], counted[1], counted[2]))


def _less(a: Moments, b: Moments) -> Moments:
    assert a.value is not None
    assert b.value is not None
    return Moments(a.value - b.value, a.influence - b.influence, a.bias - b.bias)
