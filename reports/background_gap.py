"""BG-Gap and challenge accuracy: what a background of another class costs, and what the worst of several does (Xiao et al., ICLR 2021)."""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import facts_of
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

_COLUMNS = ("model", "original", "mixed-same", "mixed-rand", "BG-gap", "challenge accuracy", "backgrounds", "n")


@report(paper="arXiv:2006.09994")
def background_gap() -> Report:
    """Accuracy on same-class and on random backgrounds, their difference, and the share that no background of several fools."""
    return lambda results: [table for task in reporting.tasks_of(results) if (table := _table(results, task)) is not None]


def _table(results: Results, task: Task) -> Table | None:
    swaps = [(c, f) for c in results.conditions(task, "intervention") if (f := _swap(results, task, c)) is not None]
    same = next((c.name for c, f in swaps if f.method == "same"), None)
    others = [c.name for c, f in swaps if f.method in ("any", "random")]
    if same is None or not others or not results.conditions(task, "clean"):
        return None
    notes, metric = Footnotes(), results.metrics(task)[0]
    search = next((c.name for c in results.conditions(task, "attack") if _is_search(results, task, c.name)), None)
    rows = [_row(results, group, same, others, metric, notes, search) for group in reporting.groups_of(results, task)]
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} of objects on backgrounds of their own class (mixed-same) and of any class (mixed-rand); "
        "BG-gap: the first less the second, over the images that both serve. Challenge accuracy: images that none of the backgrounds "
        "fools; backgrounds: the most that one is shown on. 95 % intervals."
    )
    published = all(f.published for _, f in swaps)
    note = _PUBLISHED if published else _OWN
    return Table(cells_of(_COLUMNS, rows), caption, f"background-gap-{task}", (*notes.notes, note), task, title="Backgrounds")


_OWN = "Made from this data set's own objects and backgrounds: to be compared with numbers made here, not with the paper's."
_PUBLISHED = (
    "Read from the published pictures: the first four numbers compare with the paper's where n is all of them (4050); challenge accuracy, "
    "where the backgrounds are all of them too."
)


def _is_search(results: Results, task: Task, condition: str) -> bool:
    """Whether an attack chooses backgrounds."""
    attack = results.facts(task, condition).attack
    return attack is not None and attack.swaps_background


def _swap(results: Results, task: Task, condition: Condition) -> ContextFacts | None:
    facts = facts_of(results, task, condition)
    return facts if facts is not None and facts.experiment == "swap-context" else None


def _row(results: Results, group: Group, same: str, others: list[str], metric: str, notes: Footnotes, search: str | None) -> list[Cell]:
    clean = results.conditions(group.task, "clean")[0].name
    shown: list[Cell] = [reporting.metric_cell(results, group, name, metric, notes) for name in (clean, same, others[0])]
    unit = reporting.unit_of(results, group.task, metric)
    gap = reporting.estimate_cell(results, group, [same, others[0]], unit, results.difference(group, same, others[0], metric), notes)
    worst: Cell = None
    tried = len(others)
    if search is not None:
        worst = reporting.metric_cell(results, group, search, metric, notes)
        facts = results.facts(group.task, search).attack
        tried = 0 if facts is None or facts.queries is None else facts.queries
    elif results.metric_row(group.task, metric).is_rate:
        challenge = results.worst_over(group, metric, others)
        worst = reporting.estimate_cell(results, group, others, unit, challenge, notes)
    signed = reporting.signed(gap)
    return [reporting.title_of(group), *shown, signed, worst, tried, None if gap.blocked else gap.estimate.n]
