"""S17: do the counts behind a robust number add up?"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from robustbench_cv.arrow_compute import compute
from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import After
from robustbench_cv.metrics.worst_case import attack_success
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import CLEAN, Condition

_TITLE = "counts add up"
_METRIC = "top-1"
"""What a classifier's attack is judged by: whether the most probable class is the label."""
_REMEDY = "the records were changed, or those of two runs were mixed: delete the folder and run again"


@check(
    stage="after",
    cost="records",
    action="stop",
    gives="how many samples there are, were right, were attacked, broken and robust",
)
def s17_denominators() -> After:
    """Every attack's records are of the samples without it, and of a classifier the broken ones are those that are wrong under attack."""
    return lambda after_run: list(_examine(after_run.results)) or [Finding("S17", _TITLE, "not applicable", "no attack was run")]


def _examine(results: Results) -> Iterator[Finding]:
    for group in results.groups():
        for condition in results.conditions(group.task, "attack"):
            if len(results.rows(group, condition.name)):
                yield _of_condition(results, group, condition)


def _of_condition(results: Results, group: Group, condition: Condition) -> Finding:
    said = functools.partial(Finding, "S17", _TITLE, model=group.model, dataset=group.dataset, condition=condition.name, task=group.task)
    ids, clean = set(results.rows(group, condition.name).samples.to_pylist()), set(results.rows(group, CLEAN.name).samples.to_pylist())
    if clean and ids != clean:
        odd = sorted(ids ^ clean)
        evidence = f"{len(clean)} samples without the attack and {len(ids)} with it: {len(odd)} are in one alone, first {odd[0]!r}"
        return said("stop", evidence, _REMEDY)
    facts = results.facts(group.task, condition.name).attack
    right, broken = results.evidence(group, condition.name, _METRIC), results.broken(group, condition.name)
    if group.task != "classification" or facts is None or facts.goal != "misclassified" or not len(right):
        return said("pass", f"{len(ids)} samples, {len(broken)} attacked, {broken.values.true_count} broken")
    both = right.only(broken.ids)
    flags = broken.only(both.ids)
    contrary = compute.equal(flags.values, both.values)
    if contrary.true_count:
        first = both.ids.filter(contrary)[0].as_py()
        evidence = f"{contrary.true_count} of {len(both)} attacked samples are broken and right, or neither, first {first!r}"
        return said("stop", evidence, _REMEDY)
    before = results.evidence(group, CLEAN.name, _METRIC)
    if not len(before):
        return said("pass", f"{len(both)} samples attacked, {flags.values.true_count} wrong under attack")
    counts = attack_success(before, right.only(before.ids))
    evidence = (
        f"{counts.n_total} samples, {counts.n_clean_correct} right without the attack, {counts.n_attacked} with an outcome under it, "
        f"{counts.n_broken} broken, {counts.n_robust} right under it"
    )
    return said("pass", evidence)
