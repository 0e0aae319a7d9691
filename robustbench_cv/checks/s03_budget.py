"""S03: is an attack's budget given in pixels of [0, 1], and kept?"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from robustbench_cv.arrow_compute import compute
from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import After, AfterRun
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition

_TITLE = "budget units"
_LARGE = 0.25
"""Share of the range from which on any image can be made grey in two steps of it (USERS: a quarter)."""
_SMALL = 0.5 / 255
"""Half a grey level: what 8 bits round away."""
_ROUNDING = 1e-4


@check(
    stage="after",
    cost="records",
    action="stop warn note",
    gives="the budget in [0, 1], in grey levels and as a share of the range; the largest change that was realised",
)
def s03_budget() -> After:
    """Realised changes against the budget, and L-inf budgets above a quarter of the range or below half a grey level: other units?"""
    return lambda after_run: list(_examine(after_run)) or [Finding("S03", _TITLE, "not applicable", "no attack has a budget of pixels")]


def _examine(after_run: AfterRun) -> Iterator[Finding]:
    results = after_run.results
    for group in results.groups():
        for condition in results.conditions(group.task, "attack"):
            finding = _of_condition(results, group, condition)
            if finding is not None:
                yield finding


def _of_condition(results: Results, group: Group, condition: Condition) -> Finding | None:
    facts = results.facts(group.task, condition.name).attack
    if facts is None or facts.radius is None or facts.norm not in ("linf", "l2", "l1"):
        return None
    said = functools.partial(Finding, "S03", _TITLE, model=group.model, dataset=group.dataset, condition=condition.name, task=group.task)
    sizes = compute.drop_null(results.rows(group, condition.name).column("attack.size"))
    largest = float(compute.max(sizes).as_py()) if len(sizes) else 0.0
    radius = facts.radius
    if largest > radius * (1 + _ROUNDING) + 1e-6:
        evidence = f"the largest change is {largest:.4g}, beyond the budget of {radius:.4g} ({facts.norm})"
        return said("stop", evidence, "the records were changed, or the attack does not keep its own budget: run again")
    if facts.norm != "linf":
        return said("pass", f"{facts.norm} budget {radius:.4g} of pixels in [0, 1]; the largest change is {largest:.4g}")
    evidence = f"budget {radius:.4g} of [0, 1] = {255 * radius:.3g}/255 = {radius:.1%} of the range; the largest change is {largest:.4g}"
    on_curve = condition.curve is not None
    if radius > _LARGE:
        remedy = "was another unit meant (8 of 255 is eps=8/255)? such a budget hides any image; it belongs on a curve of budgets at most"
        return said("note" if on_curve else "warn", evidence, remedy)
    if 0 < radius < _SMALL:
        remedy = "was it divided by 255 twice? 8 bits round such a change away; 8 grey levels are eps=8/255"
        return said("note" if on_curve else "warn", evidence, remedy)
    return said("pass", evidence)
