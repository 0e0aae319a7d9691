"""Each further model of a run against its first one, sample by sample: pass, regression, or not to be told from these samples."""

from __future__ import annotations

from dataclasses import replace

from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import report
from robustbench_cv.compare import MARGIN, Comparisons, compare_models
from robustbench_cv.rendering import comparison as rendered
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.tables import Table
from robustbench_cv.results import Results


@report()
def comparison(margin: Fraction = MARGIN) -> Report:
    """Whether each further model of a run is worse than the first one of its task, under every condition, paired by sample.

    By the primary metric. Regression: its loss exceeds the margin, corrected for all rows (Holm); pass: it does not reach it; inconclusive:
    these samples do not tell, with about how many more would. margin: the loss that does not matter, two points unless said otherwise.
    """
    return lambda results: [table for table in _tables(results, compare_models(results, margin=margin)) if len(table.frame)]


def _tables(results: Results, made: Comparisons) -> list[Table]:
    return [
        _table(Comparisons(results, results, made.margin, [r for r in made.rows if r.new.task == task]))
        for task in reporting.tasks_of(results)
    ]


def _table(made: Comparisons) -> Table:
    table = rendered.table(made)
    if not made.rows:
        return table
    task = made.rows[0].new.task
    caption = (
        f"{reporting.TASK_TITLES[task]}: each further model (new) against the first one (base), on the same samples, with 95 % intervals. "
        f"Regression: the loss exceeds {100 * made.margin:g} points (p corrected for all comparisons of the run, Holm); pass: it does not "
        "reach them; inconclusive: these samples do not tell. Broken, mended: samples that only the base, or only the new model has right."
    )
    return replace(table, caption=caption, label=f"comparison-{task}", task=task, title="Comparison of models")
