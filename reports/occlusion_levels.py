"""Robustness by the levels of OccludedPASCAL3D+: how much of a number is left as objects and their context are occluded."""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.object_recall import NAME as OBJECT_RECALL
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.context_edits import LevelGrid, level_grids
from robustbench_cv.rendering.report_items import Item, Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

_LEVELS = (1, 2, 3)

_RANGES = "level 1: 20-40 % of each object and 0-20 % of the context is covered, level 2: 40-60 % and 20-40 %, level 3: 60-80 % and 40-60 %"

_NOT_THEIRS = (
    "The levels are those of OccludedPASCAL3D+; the images, and the objects that occlude, are this data set's own: to be compared with "
    "numbers made here, not with the paper's."
)


@report(paper="arXiv:2005.11643")
def occlusion_levels() -> Report:
    """A number at occlusion levels 0 to 3, its mean over them, what the placebo explains of it, and the grid of object and context."""
    return lambda results: [item for task in reporting.tasks_of(results) for item in _items(results, task)]


def _items(results: Results, task: Task) -> list[Item]:
    grids = [grid for grid in level_grids(results, task) if grid.cells]
    along = [grid for grid in grids if {level for level, _ in grid.single_axis} >= set(_LEVELS)]
    return [
        *([_by_level(results, task, along), _beyond_placebo(results, task, along)] if along else []),
        *(_grid(results, task, grid) for grid in grids if {(f, b) for f in _LEVELS for b in _LEVELS} <= grid.cells.keys()),
    ]


def _metrics(results: Results, task: Task) -> list[str]:
    """The primary one, and the recall of the objects."""
    names = results.metrics(task)
    return list(dict.fromkeys([names[0], *(name for name in names if name == OBJECT_RECALL)]))


def _by_level(results: Results, task: Task, grids: list[LevelGrid]) -> Table:
    notes = Footnotes()
    rows = [
        _level_row(results, group, grid, metric, notes)
        for group in reporting.groups_of(results, task)
        for grid in grids
        for metric in _metrics(results, task)
    ]
    columns = ("model", "occluder", "metric", "L0", "L1", "L2", "L3", "mean of L1 to L3", "of L0", "n", "excluded")
    caption = (
        f"{reporting.TASK_TITLES[task]}: by level of occlusion ({_RANGES}). L0: the clean images. The mean, and the share of L0 that it "
        "is, are of the images that all levels serve, n of them. 95 % intervals."
    )
    every = (
        *notes.notes,
        _NOT_THEIRS,
        *reporting.scoring_note(results, task),
        *reporting.exclusions(results, task, results.metrics(task)[0]),
    )
    return Table(cells_of(columns, rows), caption, f"occlusion-levels-{task}", every, task, blocks="model", title="Occlusion by level")


def _level_row(results: Results, group: Group, grid: LevelGrid, metric: str, notes: Footnotes) -> list[Cell]:
    clean, names = results.conditions(group.task, "clean")[0].name, [c.name for _, c in grid.single_axis]
    shown = [reporting.metric_cell(results, group, name, metric, notes) for name in (clean, *names)]
    made, unit = results.corruption_robustness(group, names, metric), reporting.unit_of(results, group.task, metric)
    mean = reporting.estimate_cell(results, group, [clean, *names], unit, made.mean, notes)
    share = reporting.estimate_cell(results, group, [clean, *names], "rate", made.relative, notes)
    quantity = reporting.quantity_of(results, group.task, metric)
    return [reporting.title_of(group), grid.method, quantity, *shown, mean, share, made.mean.n, made.mean.excluded]


def _beyond_placebo(results: Results, task: Task, grids: list[LevelGrid]) -> Table:
    notes = Footnotes()
    rows: list[list[Cell]] = []
    for group in reporting.groups_of(results, task):
        for grid in grids:
            for metric in _metrics(results, task):
                effects = [reporting.shown_effect(results, group, c.name, metric, notes) for _, c in grid.single_axis]
                cells = [cell for effect in effects for cell in (effect[0], effect[2])]
                counted = [None if effect[2] is None else effect[2].estimate.n for effect in effects]
                quantity = reporting.quantity_of(results, task, metric)
                rows.append([reporting.title_of(group), grid.method, quantity, *cells, *counted])
    columns = (
        *("model", "occluder", "metric"),
        *(name for k in _LEVELS for name in (f"L{k}", f"L{k} − placebo")),
        *(f"n of L{k}" for k in _LEVELS),
    )
    caption = (
        f"{reporting.TASK_TITLES[task]}: what occlusion does (after minus before, on the same images and what both show), and what is left "
        "of that when the placebo's effect is taken off: the same occluders of the objects where no object is, those of the context as "
        "they were. It leaves what hiding the objects costs. 95 % intervals; n: images that have both."
    )
    every = (*notes.notes, *reporting.exclusions(results, task, results.metrics(task)[0]))
    return Table(
        cells_of(columns, rows), caption, f"occlusion-effects-{task}", every, task, blocks="model", title="Occlusion and its placebo"
    )


def _grid(results: Results, task: Task, grid: LevelGrid) -> Table:
    notes, metric = Footnotes(), results.metrics(task)[0]
    rows: list[list[Cell]] = []
    for group in reporting.groups_of(results, task):
        for f in _LEVELS:
            cells = [reporting.metric_cell(results, group, grid.cells[f, b].name, metric, notes) for b in _LEVELS]
            names = [grid.cells[f, b].name for b in _LEVELS]
            made = results.corruption_robustness(group, names, metric).mean
            mean = reporting.estimate_cell(results, group, names, reporting.unit_of(results, task, metric), made, notes)
            rows.append([reporting.title_of(group), f"FGL{f}", *cells, mean, made.n, made.excluded])
    columns = ("model", "objects", "BGL1", "BGL2", "BGL3", "mean", "n", "excluded")
    caption = (
        f"{reporting.TASK_TITLES[task]}: {metric} by how much of the objects (rows, FGL) and how much of their context (columns, BGL) is "
        f"covered, by {grid.method} occluders. Mean: of the row, over the images that all of it serve, n of them. 95 % intervals."
    )
    label = f"occlusion-grid-{task}-{grid.method.replace(' ', '-')}"
    return Table(
        cells_of(columns, rows), caption, label, (*notes.notes, _NOT_THEIRS), task, blocks="model", title="Objects and context occluded"
    )
