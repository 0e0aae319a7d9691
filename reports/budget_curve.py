"""Robustness against budget: one line for each model and attack family, from the clean image on."""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.curves import curve_charts
from robustbench_cv.rendering.report_items import Report


@report()
def budget_curve() -> Report:
    """The primary metric against an attack's budget, from the conditions that share a `curve`."""
    return lambda results: [
        chart
        for task in reporting.tasks_of(results)
        for chart in curve_charts(
            results, task, "attack", label="budget", title="Attack budget", caption="the attack's budget.", axis="attack budget"
        )
    ]
