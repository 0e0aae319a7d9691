"""Curves over budgets whose larger budgets start from what the smaller ones broke.

Never weaker than each budget alone, sample by sample: what was broken within a smaller ball lies in the larger one, and every other sample
is searched exactly as it would be alone, since a search depends on its own sample and nothing else of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robustbench_cv.adversary.attack import Attack, Ensemble
from robustbench_cv.adversary.combinators.targeted import Targeted
from robustbench_cv.adversary.constraints.lp import Ball
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.record_store import Cell, RecordStore
from robustbench_cv.records import Record, to_records
from robustbench_cv.registry import Spec
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task


def smaller_budget(condition: Condition, before: Sequence[Condition], task: Task) -> Condition | None:
    """The condition whose broken samples a warm one takes over: of those before it, the same attack's next smaller budget.

    None where there is none, or the condition is not warm. UserError where taking over could weaken the attack: off classification, where
    damage goes on after a sample counts as broken, and without a ball that holds the smaller one.
    """
    if not condition.warm:
        return None
    if task != "classification":
        raise UserError(
            f"condition {condition.name!r} is warm, but for {task} an attack goes on after a sample counts as broken: what a smaller "
            "budget left would weaken it; leave out warm"
        )
    eps, rest = _budget(condition)
    candidates = [(_budget(c)[0], c) for c in before if c.warm and c.interventions == condition.interventions and _budget(c)[1] == rest]
    return max(((e, c) for e, c in candidates if e <= eps), default=(0.0, None), key=lambda pair: pair[0])[1]


def _budget(condition: Condition) -> tuple[float, Spec]:
    """The attack's radius, and its spec without it."""
    spec = Spec.parse(condition.attack or "none")
    attack = ATTACKS.build(condition.attack) if condition.attack else None
    region = attack.constraint if isinstance(attack, Attack | Ensemble | Targeted) else None
    if not isinstance(region, Ball):
        raise UserError(
            f"condition {condition.name!r} is warm, but its attack {condition.attack!r} has no ball of one radius; leave out warm"
        )
    return region.radius, Spec(spec.name, {k: v for k, v in spec.args.items() if k != "eps"}, spec.target)


def warm_start(folder: RunFolder, base: Cell, blank: Record, radius: float | None) -> dict[str, Record]:
    """Records of the samples that the cell `base` broke, as records of another condition with a larger radius; by sample id."""
    broken = {}
    for record in to_records(RecordStore(folder).read([base])):
        trace = record.attack
        if trace is not None and trace.success and record.status == "ok" and not record.reason:
            broken[record.sample] = replace(record, condition=blank.condition, attack=replace(trace, radius=radius))
    return broken
