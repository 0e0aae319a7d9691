"""The protocol: how to repeat the run, with every version, hash, class mapping and definition it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_cv.adversary.attack_facts import AttackFacts
from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.rendering.threats import KNOWLEDGE
from robustbench_cv.results import Results
from robustbench_cv.suite import Condition


@report()
def protocol() -> Report:
    """The command, seed, versions, environment, threat models, limits, models, data, licences, conditions and metrics of the run."""
    return _items


def _items(results: Results) -> list[Table]:
    threats = [_threats(results)] if any(c.attack for track in results.run.tracks for c in track.conditions) else []
    return [*threats, _limits(results), _run(results), _models(results), _data(results), _conditions(results), _metrics(results)]


def _threats(results: Results) -> Table:
    """What each attack may know, wants, and may change."""
    rows: list[list[Cell]] = []
    for track in results.run.tracks:
        for condition in track.conditions:
            facts = results.facts(track.task, condition.name).attack
            if facts is None:
                continue
            norm, budget = reporting.NORMS[facts.norm] or "not declared", reporting.budget_of(facts) or "not declared"
            knowledge = "attacks nothing: a control" if facts.is_control else KNOWLEDGE[facts.knowledge]
            fitted = "; fitted once, on other samples" if facts.fitted else ""
            rows.append([track.task, condition.name, knowledge + fitted, facts.goal or "not declared", norm, budget, *_effort(facts)])
    caption = (
        "Threat models, as the attacks declare them: what the adversary knows of the model, when a sample counts as broken, what may be "
        "changed and how much of it. Each image gets a change of its own, but where one was fitted beforehand."
    )
    columns = ("task", "attack", "knows", "breaks when", "norm", "budget", "steps", "queries")
    return Table(cells_of(columns, rows), caption, "threat-models", blocks="task", title="Threat models")


def _effort(facts: AttackFacts) -> tuple[Cell, Cell]:
    return reporting.steps_of(facts), facts.queries


def _limits(results: Results) -> Table:
    """What the numbers of this run do not say."""
    rows: list[list[Cell]] = []
    for text in dict.fromkeys(results.run.limits.values()):
        names = dict.fromkeys(d.name for d in results.run.datasets if results.run.limits.get(d.spec) == text)
        rows.append(["data", f"{', '.join(names)}: {text}."])
    fewest = min((d.n for d in results.run.datasets), default=0)
    rows.append(["samples", f"The smallest data set has {fewest} samples; the intervals say what that leaves open."])
    conditions = [c for track in results.run.tracks for c in track.conditions]
    if any(c.attack for c in conditions):
        text = "An attack bounds robustness from above: a sample that it did not break may be broken by another, or by more steps."
        rows.append(["attacks", text])
        rows.append(["adversaries", "Nothing is said of adversaries outside the threat models above."])
    if any(c.interventions for c in conditions):
        text = "Edited images are not photographs of what they show. The placebo measures the edit's own trace; it does not remove it."
        rows.append(["edits", text])
    caption = "Limits: what the numbers of this run do not say."
    return Table(cells_of(("of", "limit"), rows), caption, "limits", title="Limits")


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
    rows.extend([name, value] for name, value in run.environment.items())
    rows.extend([name, version] for name, version in sorted(run.versions.items()))
    caption = (
        "How to repeat this run. The same command in the same environment gives the same numbers; the whole configuration is in run.json."
    )
    return Table(cells_of(("what", "value"), rows), caption, "run", run.notes, title="How to repeat it")


def _models(results: Results) -> Table:
    columns = ("model", "spec", "task", "classes", "parameters", "operating score", "licence of the weights", "weights, sha256")
    rows: list[list[Cell]] = [
        [
            *(m.name, m.spec, m.task, len(m.classes), m.parameters),
            *(m.operating_score if m.task == "detection" else None, results.run.licences.get(m.spec, "not declared"), m.weights_sha256),
        ]
        for m in results.run.models
    ]
    caption = "Models. The operating score is the confidence at which a detector's box counts as reported; AP ignores it."
    return Table(cells_of(columns, rows), caption, "models", title="Models")


def _data(results: Results) -> Table:
    rows: list[list[Cell]] = []
    for d in results.run.datasets:
        maps = [(p.model, p.summary or p.class_map) for p in results.run.pairings if (p.task, p.dataset) == (d.task, d.name)] or [("", "")]
        licence = results.run.licences.get(d.spec, "not declared")
        for class_map, models in _alike(maps).items():
            rows.append([d.name, d.spec, d.task, d.n, licence, ", ".join(models), class_map, d.ids_sha256])
    columns = ("data set", "spec", "task", "samples", "licence", "models", "classes, matched by name", "sample ids, sha256")
    return Table(cells_of(columns, rows), "Data sets, and how their classes were matched with each model's.", "data", title="Data")


def _alike(maps: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Models by how their classes were matched, in one line: what is left out and what goes by another name, else that all are the same."""
    made: dict[str, list[str]] = {}
    for model, class_map in maps:
        made.setdefault(class_map_line(class_map), []).append(model)
    return made


def class_map_line(text: str) -> str:
    """A class map in one line.

    >>> class_map_line("data  model  matched by\\ncar   car    same name\\nbike  bike   same name")
    'all 2 by the same name'
    >>> class_map_line("data  model            matched by\\ncar   auto             given\\nbike  bike             same name")
    '1 by the same name; car → auto (given)'
    """
    rows = [[part for part in line.split("  ") if part.strip()] for line in text.splitlines()]
    if len(rows) < 2 or [part.strip() for part in rows[0]] != ["data", "model", "matched by"]:
        return " ".join(text.split())
    same, others = 0, []
    for row in rows[1:]:
        parts = [part.strip() for part in row]
        if len(parts) == 3 and parts[2] == "same name":
            same += 1
        elif len(parts) >= 2 and not parts[0].startswith("note:"):
            others.append(f"{parts[0]} → {parts[1]}" + (f" ({parts[2]})" if len(parts) > 2 else ""))
        else:
            others.append(" ".join(parts))
    if not others:
        return f"all {same} by the same name"
    return "; ".join([*([f"{same} by the same name"] if same else []), *others])


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
