"""Robustness against occlusion: how the metric falls as more of the object is covered, beside the same cover elsewhere."""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.curves import curve_charts
from robustbench_cv.rendering.report_items import Report

_CAPTION = "the covered share of the object; dashed, the control: the same cover where no object is."


@report()
def occlusion_curve() -> Report:
    """The primary metric against the occluded share of the object, with the control's curve."""
    return lambda results: [
        chart
        for task in reporting.tasks_of(results)
        for chart in curve_charts(
            results, task, "intervention", label="occlusion", title="Occlusion", caption=_CAPTION, axis="covered share of the object"
        )
    ]
