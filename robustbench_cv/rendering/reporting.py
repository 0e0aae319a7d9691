"""From results to cells: what every report shares, so that a blocked, flagged or undefined number looks the same everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from robustbench_cv.adversary.facts import AttackFacts, Norm
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.intervals import estimate
from robustbench_cv.metrics.metric import Estimate, Unit
from robustbench_cv.rendering.cells import Footnotes, Number, Quantity
from robustbench_cv.results import Effect, Group, Results
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

TASK_TITLES: dict[Task, str] = {
    "classification": "Classification",
    "segmentation": "Segmentation",
    "detection": "Object detection",
}


def title_of(group: Group) -> str:
    """The heading of a row-block."""
    return f"{group.model} on {group.dataset}"


def groups_of(results: Results, task: Task) -> list[Group]:
    return [group for group in results.groups() if group.task == task]


def tasks_of(results: Results) -> list[Task]:
    """The run's tasks, in the order of the suite."""
    return [track.task for track in results.run.tracks]


def unit_of(results: Results, task: Task, metric: str) -> Unit:
    """What a metric's numbers are, as the metric declares it."""
    return results.metric_row(task, metric).unit


def quantity_of(results: Results, task: Task, metric: str) -> Quantity:
    """A metric's name with its unit, as a cell."""
    return Quantity(metric, unit_of(results, task, metric))


def is_removal(results: Results, task: Task, condition: Condition) -> bool:
    """Whether an intervention takes objects away, as its edits declare it."""
    return condition.kind == "intervention" and results.facts(task, condition.name).removes_objects


def hallucination_metrics(results: Results, task: Task) -> list[str]:
    """The metrics that see objects reported where there are none, which AP does not (S25)."""
    return [m.name for m in results.run.metrics(task) if m.counts_absent]


def ordered_conditions(results: Results, task: Task) -> list[Condition]:
    """Clean, attacks, then each intervention with its controls behind it."""
    every = results.conditions(task)
    kinds = {kind: [c for c in every if c.kind == kind] for kind in ("clean", "attack", "intervention", "control")}
    paired = [c for one in kinds["intervention"] for c in (one, *(k for k in kinds["control"] if k.control_of == one.name))]
    return [*kinds["clean"], *kinds["attack"], *paired, *(c for c in kinds["control"] if c not in paired)]


def shown(results: Results, group: Group, condition: str, metric: str, notes: Footnotes) -> Number:
    """A metric under a condition as a cell: blocked where a check said stop, marked where one warned."""
    return guarded(results, group, [condition], unit_of(results, group.task, metric), results.estimate(group, condition, metric), notes)


def shown_before(results: Results, group: Group, condition: str, metric: str, notes: Footnotes) -> Number:
    """A metric of the unedited images of an intervention's pairs, scored against what the edit left alone, as a cell."""
    evidence = list(results.evidence(group, condition, metric, reference=True).values())
    excluded = len(results.rows(group, condition)) - len(evidence)
    before = estimate(results.metric(group, metric), evidence, excluded=excluded, seed=results.run.seed)
    return guarded(results, group, [condition], unit_of(results, group.task, metric), before, notes)


def shown_worst_case(results: Results, group: Group, metric: str, notes: Footnotes) -> Number | None:
    """The per-sample worst case over clean and all attacks; None for metrics that have none."""
    names = [c.name for c in results.conditions(group.task) if c.kind in ("clean", "attack")]
    try:
        worst = results.worst_case(group, metric)
    except NotApplicable:
        return None
    resting_on = [n for n in names if not _is_outdone(results, group, n, names)]
    return guarded(results, group, resting_on, unit_of(results, group.task, metric), worst, notes)


def _is_outdone(results: Results, group: Group, condition: str, others: Sequence[str]) -> bool:
    """Whether an attack looks weak beside a strong one of its budget or a larger: the worst case over both does not rest on it."""
    verdict, cost = results.strength(group, condition), results.cost(group, condition)
    if verdict is None or verdict.verdict != "warn" or cost is None:
        return False
    for other in others:
        strong, spent = results.strength(group, other), results.cost(group, other)
        if strong is not None and strong.verdict == "pass" and spent is not None and (spent.radius or 0) >= (cost.radius or 0):
            return True
    return False


def strength_of(results: Results, group: Group, condition: str) -> str | None:
    """ "strong", "weak" or "not judged": the verdict on an attack; None for controls and for what is no attack."""
    found = results.strength(group, condition)
    said = {"pass": "strong", "warn": "weak", "stop": "weak", "note": "not judged"}
    return None if found is None else said.get(found.verdict)


def shown_effect(
    results: Results, group: Group, condition: str, metric: str, notes: Footnotes
) -> tuple[Number, Number | None, Number | None]:
    """Effect, its control's, and the first minus the second, as cells. A blocked control blocks what is computed from it."""
    controls = [c.name for c in results.conditions(group.task, "control") if c.control_of == condition][:1]
    try:
        found = results.effect(group, condition, metric)
    except NotApplicable as reason:
        nothing = Estimate(None, None, None, 0, reason=str(reason))
        found = Effect(nothing, nothing if controls else None, nothing if controls else None)
    sides = (found.effect, [condition]), (found.control, controls), (found.difference, [condition, *controls])
    unit = unit_of(results, group.task, metric)
    cells = [e if e is None else replace(guarded(results, group, names, unit, e, notes), signed=True) for e, names in sides]
    assert cells[0] is not None
    return cells[0], cells[1], cells[2]


def guarded(results: Results, group: Group, conditions: Sequence[str], unit: Unit, number: Estimate, notes: Footnotes) -> Number:
    """An estimate made of records under `conditions` as a cell, with the marks of all that touches it."""
    cell = Number(number, unit)
    for name in conditions:
        reason = results.blocked(group, name)
        if reason:
            mark = notes.warning(_why_blocked(results, group, name, reason))
            return replace(cell, estimate=Estimate(None, None, None, 0, reason=reason), blocked=reason.split()[0], marks=mark)
    warnings = {f"{f.check} {f.title}: {f.evidence}" for name in conditions for f in results.flags(group, name)}
    marks = [notes.warning(text) for text in sorted(warnings)]
    if cell.state == "undefined":
        marks.append(notes.remark(f"undefined: {number.reason or 'no sample has evidence for it'}."))
    return replace(cell, marks="".join(marks))


def _why_blocked(results: Results, group: Group, condition: str, reason: str) -> str:
    stop = next(f for f in results.flags(group, condition) if f.verdict == "stop")
    return f"blocked by {reason}: {stop.evidence}" + (f"; {stop.remedy}" if stop.remedy else "")


def exclusions(results: Results, task: Task, metric: str, most: int = 3) -> tuple[str, ...]:
    """Why samples do not count, one note for each set of reasons: the commonest with how often, and the conditions they hold for."""
    found: dict[str, list[str]] = {}
    groups = groups_of(results, task)
    for group in groups:
        for condition in ordered_conditions(results, task):
            reasons = _reasons(results, group, condition.name, metric)
            if reasons:
                where = condition.name if len(groups) == 1 else f"{condition.name} of {title_of(group)}"
                found.setdefault(_commonest(reasons, most), []).append(where)
    listed = {text: ", ".join(where) if len(where) <= 8 else f"{len(where)} conditions" for text, where in found.items()}
    return tuple(f"Excluded under {where}: {text}." for text, where in listed.items())


def _reasons(results: Results, group: Group, condition: str, metric: str) -> Counter[str]:
    """How often each reason holds. What a reason says in brackets differs from sample to sample, and is left to the records."""
    reasons, key = Counter(results.reasons(group, condition)), results.metric(group, metric).evidence_key
    for excluded in results.rows(group, condition)["excluded"]:
        reasons.update(dict.fromkeys((excluded[name] for name in (metric, key) if name in excluded), 1))
    grouped: Counter[str] = Counter()
    for reason, times in reasons.items():
        grouped[reason.partition(" (")[0]] += times
    return grouped


def _commonest(reasons: Counter[str], most: int) -> str:
    common = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(times for _, times in common[most:])
    return "; ".join([f"{times} × {reason}" for reason, times in common[:most]] + ([f"{rest} × other reasons"] if rest else []))


def alone_note(results: Results, task: Task) -> tuple[str, ...]:
    """The warning that a detector's removal is judged by AP alone; empty where a hallucination rate stands next to it."""
    removes = any(is_removal(results, task, c) for c in results.conditions(task, "intervention"))
    if task != "detection" or not removes or hallucination_metrics(results, task):
        return ()
    return ("This suite measures no hallucination rate: AP cannot show objects that are reported where they were removed (S25).",)


NORMS: dict[Norm, str] = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "pixels", "area": "area", "range": "range", "": ""}
"""How a budget's norm is written: "pixels" counts them, "area" is the share of the image's, "range" a share of turns and shifts."""


def budget_text(radius: float) -> str:
    """A budget as attacks' papers write it: eighths of a grey level or coarser as n/255, anything else as a decimal.

    >>> budget_text(8 / 255), budget_text(0.5)
    ('8/255', '0.5')
    """
    levels = radius * 255
    return f"{round(levels * 8) / 8:g}/255" if in_grey_levels([radius]) else f"{radius:.3g}"


def budget_of(facts: AttackFacts | None) -> str | None:
    """A built attack's radius: in grey levels in L-infinity, else a plain number; "none" without a bound, None without a single one."""
    if facts is None or not facts.norm:
        return None
    if facts.radius is None:
        return "none"
    return budget_text(facts.radius) if facts.norm == "linf" else f"{facts.radius:.3g}"


def in_grey_levels(radii: Sequence[float]) -> bool:
    """Whether all of these are small multiples of an eighth of 1/255."""
    return all(0 <= r <= 0.3 and abs(r * 255 * 8 - round(r * 255 * 8)) < 1e-3 for r in radii)


def steps_of(facts: AttackFacts | None) -> int | str | None:
    """The steps of a built attack's search: a number; "40 × 5" for five runs of it; "200 (fit)" of what is fitted beforehand."""
    if facts is None or facts.steps is None:
        return None
    if facts.fitted:
        return f"{facts.steps} (fit)"
    return facts.steps if facts.restarts == 1 else f"{facts.steps} × {facts.restarts}"
