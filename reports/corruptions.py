"""Corruption robustness: mPC and rPC, what each corruption costs, and whether it matters on the object or around it."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_cv.catalogue import report
from robustbench_cv.interventions.corruption_facts import GROUPS, SCORED
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

_PAPERS = "mPC and rPC: Michaelis et al. 2019 (arXiv:1907.07484). Corruptions: Hendrycks, Dietterich, ICLR 2019 (arXiv:1903.12261)."
_IN_MEMORY = (
    "Images are corrupted in memory and kept at 8 bits; ImageNet-C's own files went through JPEG, and its frost is of photographs, ours is "
    "not: compare with numbers made here, not with published ones."
)
_PLACES = {"object": "on the object", "context": "on all but the object"}


@report(paper="arXiv:1907.07484")
def corruptions() -> Report:
    """Mean performance under corruption and its share of the clean one; by corruption and severity; on objects beside around them."""
    return lambda results: [
        table
        for task in reporting.tasks_of(results)
        for table in (*_overall(results, task), *_by_corruption(results, task), *_by_place(results, task))
    ]


def _corrupted(results: Results, task: Task, where: str) -> list[Condition]:
    """The corrupted conditions of a place, their placebos left out."""
    facts = {c.name: results.facts(task, c.name).corruption for c in results.conditions(task, "intervention")}
    return [c for c in results.conditions(task, "intervention") if (f := facts[c.name]) is not None and f.where == where]


def _named(results: Results, task: Task, conditions: Sequence[Condition], names: Sequence[str]) -> list[str]:
    """The conditions of some corruptions, by name."""
    return [c.name for c in conditions if (f := results.facts(task, c.name).corruption) is not None and f.name in names]


def _overall(results: Results, task: Task) -> list[Table]:
    conditions = _corrupted(results, task, "everywhere")
    scored = _named(results, task, conditions, SCORED)
    if not scored:
        return []
    notes, metric = Footnotes(), results.metrics(task)[0]
    groups = [group for group in dict.fromkeys(GROUPS.values()) if _of_group(results, task, conditions, group)]
    missing = [name for name in SCORED if not _named(results, task, conditions, [name])]
    rows: list[list[Cell]] = []
    for group in reporting.groups_of(results, task):
        whole = results.corruption_robustness(group, scored, metric)
        unit = reporting.unit_of(results, task, metric)
        clean = results.conditions(task, "clean")[0].name
        row: list[Cell] = [reporting.title_of(group)]
        row += [reporting.estimate_cell(results, group, [clean, *scored], unit, e, notes) for e in (whole.clean, whole.mean)]
        row.append(reporting.estimate_cell(results, group, [clean, *scored], "rate", whole.relative, notes))
        for name in groups:
            those = _of_group(results, task, conditions, name)
            mean = results.corruption_robustness(group, those, metric).mean
            row.append(reporting.estimate_cell(results, group, [clean, *those], unit, mean, notes))
        rows.append(row)
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} on clean images (P), its mean under corruption (mPC), and the share of P that this is "
        "(rPC); by group of corruptions. 95 % intervals."
    )
    every = [*notes.notes, _PAPERS, _IN_MEMORY]
    if missing:
        every.append(f"Not of all 15 corruptions, so no mPC that others could be compared with: {', '.join(missing)} left out.")
    return [
        Table(
            cells_of(("model", "P", "mPC", "rPC", *groups), rows),
            caption,
            f"corruptions-{task}",
            tuple(every),
            task,
            title="Corruption robustness",
        )
    ]


def _of_group(results: Results, task: Task, conditions: Sequence[Condition], group: str) -> list[str]:
    return _named(results, task, conditions, [name for name in SCORED if GROUPS[name] == group])


def _by_corruption(results: Results, task: Task) -> list[Table]:
    conditions = _corrupted(results, task, "everywhere")
    if not conditions:
        return []
    notes, metric = Footnotes(), results.metrics(task)[0]
    names = [name for name in GROUPS if _named(results, task, conditions, [name])]
    steps = sorted({f.severity for c in conditions if (f := results.facts(task, c.name).corruption) is not None})
    rows: list[list[Cell]] = []
    for group in reporting.groups_of(results, task):
        for name in names:
            those = _named(results, task, conditions, [name])
            mean = results.corruption_robustness(group, those, metric).mean
            by_step = {f.severity: c for c in those if (f := results.facts(task, c).corruption) is not None}
            values: list[Cell] = [_plain(results, group, by_step.get(step), metric, notes) for step in steps]
            shown = reporting.estimate_cell(results, group, those, reporting.unit_of(results, task, metric), mean, notes)
            rows.append([reporting.title_of(group), name, shown, *values])
    columns = ("model", "corruption", "mean", *(f"severity {step}" for step in steps))
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} by corruption, the mean over its severities with a 95 % interval, and each severity."
    )
    every = (*notes.notes, *reporting.exclusions(results, task, metric))
    return [Table(cells_of(columns, rows), caption, f"by-corruption-{task}", every, task, blocks="model", title="By corruption")]


def _plain(results: Results, group: Group, condition: str | None, metric: str, notes: Footnotes) -> Cell:
    """A number without its interval: 75 of those on a page are noise."""
    if condition is None:
        return None
    cell = reporting.metric_cell(results, group, condition, metric, notes)
    e = cell.estimate
    return Number(Estimate(e.value, None, None, e.n, e.excluded, reason=e.reason), cell.unit, blocked=cell.blocked)


def _by_place(results: Results, task: Task) -> list[Table]:
    """The cost of a corruption on the object beside its cost around the object, where a suite has either."""
    places = {where: _corrupted(results, task, where) for where in _PLACES}
    if not any(places.values()):
        return []
    notes, metric = Footnotes(), results.metrics(task)[0]
    rows: list[list[Cell]] = []
    for group in reporting.groups_of(results, task):
        for name in GROUPS:
            named = {where: _named(results, task, those, [name]) for where, those in places.items()}
            if any(named.values()):
                rows.append([reporting.title_of(group), name, *_costs(results, group, named, metric, notes)])
    columns = ("model", "corruption", *_PLACES.values(), "the same elsewhere", "object − elsewhere")
    caption = (
        f"{reporting.TASK_TITLES[task]}: what a corruption of the objects alone, and of all but the objects, does to {metric}: after minus "
        "before, on the same samples, at the middle one of the severities; and a corruption of the objects' shape where no object is. 95 % "
        "intervals."
    )
    every = (*notes.notes, *reporting.exclusions(results, task, metric))
    return [
        Table(cells_of(columns, rows), caption, f"corrupted-place-{task}", every, task, blocks="model", title="On the object or around it")
    ]


def _costs(results: Results, group: Group, named: dict[str, list[str]], metric: str, notes: Footnotes) -> list[Cell]:
    """Effects of one corruption by place, of its placebo, and the first minus the last, at the middle one of the severities."""
    cells: list[Cell] = []
    shown: tuple[Number, Number | None, Number | None] | None = None
    for where, names in named.items():
        if not names:
            cells.append(None)
            continue
        effect = reporting.shown_effect(results, group, names[len(names) // 2], metric, notes)
        cells.append(effect[0])
        if where == "object":
            shown = effect
    return [*cells, shown[1] if shown else None, shown[2] if shown else None]
