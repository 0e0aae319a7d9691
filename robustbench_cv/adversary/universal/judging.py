"""How a condition judges what all samples share: under its random conditions, seen plain, or with its control in its place."""

from __future__ import annotations

import dataclasses
from typing import Any

from robustbench_cv.adversary.attack_facts import Judged
from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.suite import Condition


def attack_of(condition: Condition) -> Any:
    """The attack that a condition names, built, and judged as the condition says; None where it names none.

    UserError where `judged` is said of an attack that searches on each sample: only what is fitted beforehand has a plain view or a
    control.
    """
    if condition.attack is None:
        return None
    return judged_as(ATTACKS.build(condition.attack), condition)


def judged_as(attack: Any, condition: Condition) -> Any:
    """The attack as a condition judges it."""
    if condition.judged == "sampled":
        return attack
    if not isinstance(attack, UniversalAttack):
        raise UserError(
            f"condition {condition.name!r}: judged={condition.judged!r} is for what is fitted beforehand, such as patches; "
            f"{condition.attack} searches on each sample, so leave judged out"
        )
    return with_judging(attack, condition.judged)


def with_judging(attack: UniversalAttack[Any], judged: Judged) -> UniversalAttack[Any]:
    """'plain': without random conditions, straight on and in even light. 'shuffled': its control, the same values in another order."""
    plain = attack.surface.plain() if judged == "plain" else None
    return dataclasses.replace(attack, shuffled=judged == "shuffled", judged_on=plain)
