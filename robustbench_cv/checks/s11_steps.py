"""S11: can the attack's steps reach its budget's edge, do they settle there, and is it done?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import OfAttack
from robustbench_cv.checks.checked_attack import Attacked
from robustbench_cv.checks.comparison_attacks import PROBES, Trace, Tried, trace
from robustbench_cv.checks.s09_gradients import is_saturated

_TITLE = "the steps reach the budget and settle"

RISES = 0.9
"""Share of the survivors whose loss an attack must have raised (I5), where more steps do better."""

RISING = 0.5
"""Share of the survivors whose loss may still rise at the last step (project choice)."""


FALLS = 0.75
"""Share of them below which an attack leaves the loss where it was on too many to have attacked at all (project choice)."""


@check(
    stage="attack",
    cost="attacks",
    action="warn",
    gives="what the steps can reach, the share of the survivors whose loss rose, and rises still",
)
def s11_steps() -> OfAttack:
    """Steps times their size against the radius; steps longer than the radius; the loss still rising at the last step."""
    return _of_attack


def _of_attack(subject: Attacked) -> Finding:
    if subject.no_gradient or not subject.survivors:
        return Finding("S11", _TITLE, "not applicable", "nothing to try")
    if is_saturated(subject):
        return Finding("S11", _TITLE, "not applicable", "the loss has no gradient to follow")
    course = subject.measure_once("trace", trace)
    if not isinstance(course, Trace):
        return Finding("S11", _TITLE, "not applicable", "the attack is no single search of steps")
    if course.reach is not None and course.reach < 0.999:
        evidence = f"{_steps(course.steps)} can cross {course.reach:.2g} of the radius at most"
        return Finding("S11", _TITLE, "warn", evidence, "choose steps times alpha above twice the radius, or leave alpha out")
    tried = subject.measure_once("longer", PROBES["longer"])
    if isinstance(tried, Tried) and tried.beats:
        return Finding("S11", _TITLE, "warn", *_not_done(course, tried, gradients=subject.backwards > 0))
    if course.rose < FALLS and len(subject.survivors) > 1 and subject.backwards > 0:
        evidence = f"the loss rose on {course.rose:.0%} of the survivors only, in {_steps(course.steps)}: its gradient leads nowhere"
        return Finding("S11", _TITLE, "warn", evidence, _NOWHERE)
    if course.steps == 1:
        evidence = "a single step: a sanity check, not an evaluation"
        return Finding("S11", _TITLE, "warn", evidence, "use pgd with 40 steps or more, or apgd")
    return Finding("S11", _TITLE, "pass", _course(course))


_NOWHERE = (
    "look for what makes the scores jump (maxima whose places are handed on, rounding), and use an attack without gradients beside it"
)


def _not_done(course: Trace, tried: Tried, *, gradients: bool) -> tuple[str, str]:
    if course.late is not None and course.late > 1.001:
        evidence = f"the last steps are {course.late:.1f} times as long as the radius: they overshoot from face to face; {tried}"
        return evidence, "choose alpha below the radius (2.5 eps / steps), or leave it out"
    if course.rising > RISING:
        evidence = f"not converged: the loss of {course.rising:.0%} of the survivors still rises at step {course.steps}; {tried}"
        return evidence, "use more steps, or apgd, which chooses its own"
    if course.rose < RISES and gradients:
        return f"the loss rose on {course.rose:.0%} of the survivors only; {tried}", "look for a noisy or masked gradient; use apgd"
    return f"not converged: {tried}", "use more steps or restarts"


def _steps(count: int) -> str:
    return f"{count} step{'s' if count > 1 else ''}"


def _course(course: Trace) -> str:
    return (
        f"the loss rose on {course.rose:.0%} of the survivors in {_steps(course.steps)} and still rises at the end on {course.rising:.0%}"
    )
