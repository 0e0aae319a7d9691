"""Whether a class is answered rightly for a wrong reason: most answers are right, yet the relevance does not keep to the object.

After Clever Hans, the horse that read its questioner instead of the sum (Lapuschkin et al., Nature Communications 10, 2019,
https://doi.org/10.1038/s41467-019-08987-4). The thresholds are a project choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy

from robustbench_cv.metrics.intervals import with_caution
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.t_intervals import interval_of, spread_of

MARGIN = 0.05
"""Mean relevance mass below the object's share of area plus this is no concentration."""

ACCURACY = 0.8
"""Above it a class counts as answered rightly."""

Verdict: TypeAlias = Literal["flagged", "no", "undecided"]


class CleverHans(NamedTuple):
    """excess: mean of relevance mass minus area share, over the rightly answered samples, with its paired interval."""

    verdict: Verdict
    excess: Estimate
    reason: str


def judge(mass: Sequence[float], area: Sequence[float], accuracy: float) -> CleverHans:
    """Of one class: relevance mass and area share of its rightly answered samples, in [0, 1], and its accuracy over all of them.

    Flagged: mean mass < mean area + 0.05, accuracy > 80 %, and the interval of the paired difference contains 0 or lies below it. The
    interval is Student's of the mean difference (a project choice: it takes no draws, and the bootstrap's is too narrow for few samples).
    """
    excess = mean_estimate([m - a for m, a in zip(mass, area, strict=True)], None)
    if excess.value is None or excess.low is None:
        return CleverHans("undecided", excess, excess.reason)
    if accuracy <= ACCURACY:
        return CleverHans("no", excess, f"accuracy of {100 * accuracy:.0f} % is not above {100 * ACCURACY:.0f} %")
    if excess.value >= MARGIN:
        return CleverHans("no", excess, "the relevance keeps to the object")
    if excess.low > 0:
        return CleverHans("no", excess, "the relevance keeps to the object a little, but beyond doubt")
    return CleverHans("flagged", excess, "right answers, but no more relevance on the object than its area would get by chance")


def mean_estimate(values: Sequence[float], bounds: tuple[float, float | None] | None, excluded: int = 0) -> Estimate:
    """The mean with its 95 % interval. bounds: the least and largest value that it can have, None for a difference."""
    n = len(values)
    if n == 0:
        return Estimate(None, None, None, 0, excluded, reason="no sample has this number")
    mean = float(numpy.mean(values))
    if n == 1:
        return Estimate(mean, None, None, 1, excluded, reason="no interval: one sample shows no spread")
    spread = spread_of((numpy.asarray(values, dtype=numpy.float64) - mean) / n)
    low, high = interval_of(mean, spread, bounds, n)
    return with_caution(Estimate(mean, min(low, mean), max(high, mean), n, excluded), spread)
