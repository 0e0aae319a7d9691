"""S10: does an attack that sees less, or tries less, break what this one did not?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding, Verdict
from robustbench_cv.checks.check import OfAttack
from robustbench_cv.checks.checked_attack import Attacked
from robustbench_cv.checks.comparison_attacks import PROBES, Tried
from robustbench_cv.checks.s09_gradients import FEW_ZEROS, MOST_ZEROS, is_saturated

_TITLE = "no masked gradients"

MONOTONE = 0.005
"""Rise of the robust share over budgets that rounding and random starts explain (I2)."""

REMAINING = 0.25
"""Share of the survivors that may survive without a bound, and one may in any case (project choice)."""

FEWEST = 5
"""Survivors from which on that is asked, where the attack broke anything: the last few lie in the class that grey has, or take longer
(project choice)."""

_MASKED = "several losses and restarts (apgd with loss='dlr'), a gradient-free attack with more queries; look for what breaks the gradient"

_UNFINISHED = "more steps, larger ones, or more searches: it looks for the boundary wherever that is, and did not come to it"

_BLIND = "more queries, and an attack that follows the gradient beside this one"


@check(
    stage="attack",
    cost="attacks",
    action="stop warn",
    gives="how many of the survivors each other attack breaks",
)
def s10_masking() -> OfAttack:
    """Gradient-free search, noise, a single step, another loss, a surrogate and a larger budget against the attack, on its survivors."""
    return _of_attack


def _of_attack(subject: Attacked) -> Finding:
    if is_saturated(subject):
        return _saturation_finding(subject)
    for name, tried in _in_order(subject, "noise", "white box", "black box", "one step", "transfer", "other loss"):
        if tried.beats:
            remedy = "use loss='dlr'" if name == "other loss" else _BLIND if subject.backwards == 0 else _MASKED
            return Finding("S10", _TITLE, "warn", str(tried), remedy)
    rise = _rise(subject)
    if rise:
        return Finding("S10", _TITLE, "warn", rise, "more steps and restarts: what a smaller budget breaks, a larger one holds")
    free = subject.measure_once("unbounded", PROBES["unbounded"])
    enough = subject.survived == subject.attacked or len(subject.survivors) >= FEWEST
    if enough and isinstance(free, Tried) and free.n - free.broken > max(1, REMAINING * free.n):
        evidence = f"with {free.how} {free.n - free.broken} of {free.n} survivors remain, where any image can become grey"
        looks_for_the_boundary = subject.lone is not None and subject.lone.optimizer.may_leave_ball
        return Finding("S10", _TITLE, "warn", evidence, _UNFINISHED if looks_for_the_boundary else _MASKED)
    every = [tried for _, tried in _in_order(subject, *PROBES)]
    if not every:
        return Finding("S10", _TITLE, "not applicable", "nothing that could be tried fits this attack")
    return Finding("S10", _TITLE, "pass", _summary(every))


def _summary(tried: Sequence[Tried]) -> str:
    """In one sentence what broke none of the survivors, then what broke some."""
    none = [t.how for t in tried if t.broken == 0]
    some = [str(t) for t in tried if t.broken]
    listed = f"{', '.join(none[:-1])} and {none[-1]}" if len(none) > 1 else "".join(none)
    said = [f"{listed} break{'s' if len(none) == 1 else ''} none"] if none else []
    return "; ".join([*said, *some])


def _in_order(subject: Attacked, *names: str) -> Iterator[tuple[str, Tried]]:
    for name in names:
        tried = subject.measure_once(name, PROBES[name])
        if isinstance(tried, Tried):
            yield name, tried


def _saturation_finding(subject: Attacked) -> Finding:
    verdict: Verdict = "stop" if subject.zero > MOST_ZEROS else "warn"
    loss = subject.measure_once("other loss", PROBES["other loss"])
    evidence = (
        f"saturated scores: the loss has no gradient in float32 where one logit leads by 100 or more, for {subject.zero:.1%} of the "
        "images, and the margin of the logits has one"
    )
    if isinstance(loss, Tried):
        evidence += f"; {loss}"
    remedy = "use loss='dlr' or 'margin', which no scale or temperature of the logits touches (defensive distillation falls to them)"
    if subject.zero <= FEW_ZEROS and not (isinstance(loss, Tried) and loss.beats):
        return Finding("S10", _TITLE, "pass", evidence)
    return Finding("S10", _TITLE, verdict, evidence, remedy)


def _rise(subject: Attacked) -> str:
    """Where a larger budget breaks less, on the samples of both; empty where none does."""
    if subject.severity is None:
        return ""
    here = next((b.broken for b in subject.curve if b.severity == subject.severity), {})
    for severity, broken in subject.curve:
        both = [s for s in here if s in broken]
        lost, gained = sum(broken[s] and not here[s] for s in both), sum(here[s] and not broken[s] for s in both)
        if severity < subject.severity and both and lost - gained > max(1, MONOTONE * len(both)):
            return f"the smaller budget {severity:.4g} breaks {lost} samples that this one does not, and {gained} the other way round"
    return ""
