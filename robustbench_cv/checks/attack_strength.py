"""One verdict on every attack: whether its number says something of the model, or of the attack.

Each check of the stage "attack" looks at the samples that the attack did not break; the first that objects names the verdict. What is
tried, with which threshold and at what cost, is in docs/honesty.md.
"""

from __future__ import annotations

from dataclasses import replace

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.check_findings import STRENGTH, Finding
from robustbench_cv.checks.check_declarations import check_names, held
from robustbench_cv.checks.checked_attack import Attacked
from robustbench_cv.checks.s09_gradients import FEW_ZEROS, MOST_ZEROS, REMEDY

_FIRST = ("s13-attack-precision", "s09-attack-gradients", "s11-steps")
"""What explains the other checks' findings comes before them: without a gradient, every other attack is better."""


def judge(subject: Attacked) -> Finding:
    """The verdict: "attack looks strong" passes; "attack looks weak because ..." marks the number, or blocks it where nothing was attacked.

    Its id is that of the check that objects. Where no sample survived, nothing is left to try; where none was right before the attack,
    or none could be attacked, nothing can be said.
    """
    verdict = _judge(subject)
    return replace(verdict, title=STRENGTH, code=verdict.code or "attack-strength")


def _judge(subject: Attacked) -> Finding:
    if not subject.is_evaluation:
        return Finding("S10", STRENGTH, "not applicable", "a control, which attacks nothing")
    if subject.attacked == 0:
        return Finding("S10", STRENGTH, "not applicable", "no sample was attacked")
    if subject.survived == 0:
        return _of_all_broken(subject)
    if not subject.survivors:
        return _from_records(subject)
    findings: list[Finding] = [held(name, [CHECKS.build(name)(subject)])[0] for name in _names()]
    objections = [f for f in findings if f.verdict in ("stop", "warn")]
    if objections:
        first = objections[0]
        return replace(first, evidence=f"attack looks weak because {first.evidence}", remedy=f"try: {first.remedy}")
    if not any(f.check == "S10" and f.verdict == "pass" for f in findings):
        return Finding("S10", STRENGTH, "note", "not judged: nothing that could be tried fits this attack")
    said = "; ".join(f.evidence for f in findings if f.check in ("S10", "S11") and f.verdict == "pass")
    number = f"{len(subject.survivors)} of {subject.survived} survivors tried"
    return Finding("S10", STRENGTH, "pass", f"attack looks strong ({number}): {said}")


def _of_all_broken(subject: Attacked) -> Finding:
    before, looked_at = subject.broken_before(), len(subject.broken)
    if looked_at and before == looked_at:
        evidence = f"nothing to break: the unchanged images met the criterion already ({before} of {looked_at} looked at)"
        return Finding("S10", STRENGTH, "not applicable", evidence, code="nothing-to-break")
    noted = f"; {before} of {looked_at} looked at were broken before it" if before else ""
    return Finding("S10", STRENGTH, "pass", f"attack looks strong: it broke all {subject.attacked} samples{noted}")


def _names() -> list[str]:
    names = check_names("attack")
    return [*(n for n in _FIRST if n in names), *(n for n in names if n not in _FIRST)]


def _from_records(subject: Attacked) -> Finding:
    """What the records alone say, where trying anything was switched off."""
    if subject.no_gradient:
        evidence = "attack looks weak because the model lets no gradient through, so the attack could not run"
        return Finding("S09", STRENGTH, "stop", evidence, f"try: {REMEDY}")
    if subject.zero > FEW_ZEROS:
        evidence = f"attack looks weak because every gradient was exactly zero for {subject.zero:.1%} of the images"
        return Finding("S09", STRENGTH, "stop" if subject.zero > MOST_ZEROS else "warn", evidence, f"try: {REMEDY}")
    return Finding("S10", STRENGTH, "note", "not judged: nothing was tried on the survivors", "run again with --strength 8")
