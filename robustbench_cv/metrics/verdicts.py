"""Whether a number is as large as it must be, told by its whole 95 % interval."""

from __future__ import annotations

from typing import Literal, TypeAlias

from robustbench_cv.metrics.metric import Estimate

Verdict: TypeAlias = Literal["holds", "does not hold", "can't tell"]


def at_least(number: Estimate, bound: float) -> Verdict:
    """Holds where all of the interval reaches the bound, does not where none of it does. Without an interval, or with failed samples, it
    can't be told.

    >>> at_least(Estimate(0.2, 0.1, 0.3, 100), 0.1), at_least(Estimate(0.2, 0.1, 0.3, 100), 0.15), at_least(Estimate(0.2, 0.1, 0.3, 9), 0.4)
    ('holds', "can't tell", 'does not hold')
    """
    if number.value is None or number.low is None or number.high is None or number.failed:
        return "can't tell"
    if number.low >= bound:
        return "holds"
    return "does not hold" if number.high < bound else "can't tell"


def every(*verdicts: Verdict) -> Verdict:
    """Of conditions that must hold together. Each at the 2.5 % of one end of its interval, so that together they err no more often."""
    if "does not hold" in verdicts:
        return "does not hold"
    return "can't tell" if "can't tell" in verdicts or not verdicts else "holds"
