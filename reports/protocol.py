"""The protocol: how to repeat the run, with every version, hash, class mapping and definition it rests on."""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Results
from robustbench_cv.suite import Condition


@report()
def protocol() -> Report:
    """The command, seed, versions, models, data, class mappings, conditions and metric definitions of the run."""
    return lambda results: [_run(results), _models(results), _data(results), _conditions(results), _metrics(results)]


def _run(results: Results) -> Table:
    run = results.run
    rows: list[list[Cell]] = [
        ["command", run.command],
        ["suite", f"{run.suite}, version {run.version}"],
        ["seed", str(run.seed)],
        ["made", run.created],
        ["device", run.device],
        ["code, sha256", run.code_sha256],
    ]
    rows.extend([name, version] for name, version in sorted(run.versions.items()))
    return Table(cells_of(("what", "value"), rows), "How to repeat this run.", "run", run.notes, title="How to repeat it")


def _models(results: Results) -> Table:
    columns = ("model", "spec", "task", "classes", "parameters", "operating score", "weights, sha256")
    rows: list[list[Cell]] = [
        [m.name, m.spec, m.task, len(m.classes), m.parameters, m.operating_score if m.task == "detection" else None, m.weights_sha256]
        for m in results.run.models
    ]
    caption = "Models. The operating score is the confidence at which a detector's box counts as reported; AP ignores it."
    return Table(cells_of(columns, rows), caption, "models", title="Models")


def _data(results: Results) -> Table:
    rows: list[list[Cell]] = []
    for d in results.run.datasets:
        maps = [(p.model, p.summary or p.class_map) for p in results.run.pairings if (p.task, p.dataset) == (d.task, d.name)] or [("", "")]
        rows += [[d.name, d.spec, d.task, d.n, d.ids_sha256, model, class_map] for model, class_map in maps]
    columns = ("data set", "spec", "task", "samples", "sample ids, sha256", "model", "classes, matched by name")
    return Table(cells_of(columns, rows), "Data sets, and how their classes were matched with each model's.", "data", title="Data")


def _conditions(results: Results) -> Table:
    rows = [_condition(track.task, condition) for track in results.run.tracks for condition in track.conditions]
    columns = ("task", "condition", "interventions, in order", "attack", "severity", "control of")
    return Table(cells_of(columns, rows), "Conditions, as specs that can be used again.", "conditions", blocks="task", title="Conditions")


def _condition(task: str, c: Condition) -> list[Cell]:
    return [task, c.name, ", then ".join(c.interventions), c.attack, c.severity, c.control_of]


def _metrics(results: Results) -> Table:
    rows: list[list[Cell]] = [
        [
            track.task,
            row.name,
            "primary" if i == 0 else "",
            "higher" if row.higher_is_better else "lower",
            _interval(is_rate=row.is_rate),
            row.definition,
        ]
        for track in results.run.tracks
        for i, row in enumerate(track.metrics)
    ]
    columns = ("task", "metric", "role", "better", "interval", "definition")
    return Table(
        cells_of(columns, rows),
        "Metrics, how their 95 % intervals are made, and their definitions.",
        "metrics",
        blocks="task",
        title="Metrics",
    )


def _interval(*, is_rate: bool) -> str:
    return "Wilson" if is_rate else "from influences"
