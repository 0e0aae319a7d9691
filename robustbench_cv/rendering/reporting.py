"""From results to cells: what every report shares, so that a blocked, flagged or undefined number looks the same everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from robustbench_cv.adversary.attack_facts import AttackFacts, Norm
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.metric import Estimate, Unit
from robustbench_cv.palette import model_colour
from robustbench_cv.rendering import escape
from robustbench_cv.rendering.table_cells import Footnotes, Number, Quantity
from robustbench_cv.results import Budget, Effect, Group, Results
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


def short_title(results: Results, group: Group) -> str:
    """The model alone where the task has one data set; for the lines of a chart."""
    several = len({other.dataset for other in groups_of(results, group.task)}) > 1
    return title_of(group) if several else group.model


def model_hues(results: Results, task: Task) -> dict[str, str]:
    """The colour of each model of a task, by name, also as figures write it: the same in every figure."""
    models = dict.fromkeys(group.model for group in groups_of(results, task))
    return {name: model_colour(place) for place, model in enumerate(models) for name in (model, escape.plain(model))}


def unjudged_attacks(results: Results) -> tuple[int, int]:
    """Of how many attacks nobody said whether they are strong, and how many there are; controls, which attack nothing, are none."""
    facts = ((g, c.name, results.facts(g.task, c.name).attack) for g in results.groups() for c in results.conditions(g.task, "attack"))
    attacks = [(group, name) for group, name, attack in facts if attack is None or not attack.is_control]
    judged = sum(strength_of(results, group, name) in ("strong", "weak", "nothing to break") for group, name in attacks)
    return len(attacks) - judged, len(attacks)


def metric_words(results: Results) -> dict[str, str]:
    """What people call each metric of the run, by name."""
    return {row.name: row.words for track in results.run.tracks for row in track.metrics}


def signed(cell: Number) -> Number:
    """A number as the difference that it is."""
    return replace(cell, signed=True)


def with_controls(results: Results, task: Task, conditions: Sequence[str]) -> list[str]:
    """Conditions, each followed by its placebo: all that a number less its placebo's is made of."""
    return [name for condition in conditions for name in (condition, *results.controls(task, condition))]


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


def count_records(results: Results, status: str = "") -> int:
    """All records of the run, or those of one status."""
    counts = [results.counts(g, c.name) for g in results.groups() for c in results.conditions(g.task)]
    return sum(n for by_status in counts for name, n in by_status.items() if status in ("", name))


def ordered_conditions(results: Results, task: Task) -> list[Condition]:
    """Clean, attacks, then each intervention with its controls behind it."""
    every = results.conditions(task)
    kinds = {kind: [c for c in every if c.kind == kind] for kind in ("clean", "attack", "intervention", "control")}
    paired = [c for one in kinds["intervention"] for c in (one, *(k for k in kinds["control"] if k.control_of == one.name))]
    return [*kinds["clean"], *kinds["attack"], *paired, *(c for c in kinds["control"] if c not in paired)]


def most_severe(results: Results, task: Task) -> list[Condition]:
    """All conditions in order, of each corruption the most severe step alone: every step of all of them would fill pages."""
    steps = {c.name: f for c in results.conditions(task) if (f := results.facts(task, c.name).corruption) is not None}
    worst: dict[tuple[str, str], int] = {}
    for f in steps.values():
        worst[f.name, f.where] = max(f.severity, worst.get((f.name, f.where), 0))
    every = ordered_conditions(results, task)
    return [c for c in every if (f := steps.get(c.name)) is None or f.severity == worst[f.name, f.where]]


def metric_cell(results: Results, group: Group, condition: str, metric: str, notes: Footnotes, *, paired: bool = False) -> Number:
    """A metric under a condition as a cell: blocked where a check said stop, marked where one warned. paired: as in Results.estimate."""
    number = results.estimate(group, condition, metric, paired=paired)
    return estimate_cell(results, group, [condition], unit_of(results, group.task, metric), number, notes)


def mark_unlearned(cell: Number, notes: Footnotes) -> Number:
    """A class's number on clean images, marked where it is 0 throughout: what was never learned cannot be lost."""
    e = cell.estimate
    if cell.state != "shown" or e.value != 0 or e.high not in (0, None):
        return cell
    mark = notes.remark("not learned: nothing of this class is found in the unedited images, so that no edit can take anything from it.")
    return replace(cell, marks=cell.marks + mark)


def shown_before(results: Results, group: Group, condition: str, metric: str, notes: Footnotes, *, paired: bool = False) -> Number:
    """A metric of the unedited images of an intervention's pairs, scored against what the edit left alone, as a cell."""
    before = results.estimate(group, condition, metric, reference=True, paired=paired)
    return estimate_cell(results, group, [condition], unit_of(results, group.task, metric), before, notes)


def budget_name(budget: Budget) -> str:
    """ "Linf 1/255"."""
    return f"{NORMS[budget.norm]} {radius_text(budget.norm, budget.radius)}"


def worst_cases(results: Results, group: Group, metric: str, notes: Footnotes) -> list[tuple[Budget, Number]]:
    """The per-sample worst case over clean and the attacks of each budget; none for metrics that have no such thing."""
    return [(b, n) for b in results.budgets(group.task) if (n := _worst_case(results, group, metric, b, notes)) is not None]


def leading_worst_case(results: Results, group: Group, metric: str, notes: Footnotes) -> tuple[Budget, Number] | None:
    """That of the budget which most attacks share, the largest of several: the one to show where there is room for one."""
    cases = worst_cases(results, group, metric, notes)
    return max(cases, key=lambda case: (len(case[0].conditions), case[0].norm == cases[0][0].norm, case[0].radius), default=None)


def _worst_case(results: Results, group: Group, metric: str, budget: Budget, notes: Footnotes) -> Number | None:
    names = [*(c.name for c in results.conditions(group.task, "clean")[:1]), *budget.conditions]
    try:
        worst = results.worst_case(group, metric, budget)
    except NotApplicable:
        return None
    resting_on = [n for n in names if not _is_outdone(results, group, n, names)]
    return estimate_cell(results, group, resting_on, unit_of(results, group.task, metric), worst, notes)


def _is_outdone(results: Results, group: Group, condition: str, others: Sequence[str]) -> bool:
    """Whether an attack looks weak beside a strong one of its budget: the worst case over both does not rest on it."""
    verdict = results.strength(group, condition)
    if verdict is None or verdict.verdict != "warn":
        return False
    return any((strong := results.strength(group, other)) is not None and strong.verdict == "pass" for other in others)


def strength_of(results: Results, group: Group, condition: str) -> str | None:
    """ "strong", "weak", "not judged" or "nothing to break": the verdict on an attack; None for controls and for what is no attack."""
    verdict = results.strength(group, condition)
    if verdict is None or verdict.code == "nothing-to-break":
        return None if verdict is None else "nothing to break"
    return {"pass": "strong", "warn": "weak", "stop": "weak", "note": "not judged"}.get(verdict.verdict)


def shown_effect(
    results: Results, group: Group, condition: str, metric: str, notes: Footnotes
) -> tuple[Number, Number | None, Number | None]:
    """Effect, its control's, and the first minus the second, as cells. A blocked control blocks what is computed from it."""
    controls = results.controls(group.task, condition)
    try:
        effect = results.effect(group, condition, metric)
    except NotApplicable as reason:
        nothing = Estimate(None, None, None, 0, reason=str(reason))
        effect = Effect(nothing, nothing if controls else None, nothing if controls else None)
    sides = (effect.effect, [condition]), (effect.control, controls), (effect.difference, [condition, *controls])
    unit = unit_of(results, group.task, metric)
    cells = [e if e is None else signed(estimate_cell(results, group, names, unit, e, notes)) for e, names in sides]
    assert cells[0] is not None
    return cells[0], cells[1], cells[2]


def estimate_cell(results: Results, group: Group, conditions: Sequence[str], unit: Unit, number: Estimate, notes: Footnotes) -> Number:
    """An estimate made of records under `conditions` as a cell, with the marks of all that touches it."""
    cell = Number(number, unit)
    for name in conditions:
        reason = results.stop_reason(group, name)
        if reason:
            mark = notes.warning(_why_blocked(results, group, name, reason))
            return replace(cell, estimate=Estimate(None, None, None, 0, reason=reason), blocked=reason.split()[0], marks=mark)
    warnings = {f"{f.check} {f.title}: {f.evidence}" for name in conditions for f in results.flags(group, name)}
    hopeless = chance_text(results, group)
    marks = [notes.warning(text) for text in [*_failed_text(cell), *sorted(warnings), *([hopeless] if hopeless else [])]]
    if cell.state == "undefined":
        marks.append(notes.remark(f"undefined: {number.reason or 'no sample has evidence for it'}."))
    elif number.caution:
        marks.append(notes.remark(f"{number.caution}."))
    return replace(cell, marks="".join(marks))


def _failed_text(number: Number) -> list[str]:
    """What a number with failed samples is worth; empty where none failed."""
    e = number.estimate
    if not e.failed:
        return []
    said = f"inconclusive: {e.failed} sample{'' if e.failed == 1 else 's'} failed and {'is' if e.failed == 1 else 'are'} not in the number"
    if e.all_wrong is None or e.all_right is None:
        return [f"{said}."]
    wrong, right = (replace(number, estimate=Estimate(v, None, None, e.n)).value for v in (e.all_wrong, e.all_right))
    return [f"{said}: it would be {wrong} with all of them wrong, {right} with all right."]


def chance_text(results: Results, group: Group) -> str:
    """Where a model is near chance, what that means for all else that is said of it; empty where it is not."""
    near = results.chance(group)
    if near is None:
        return ""
    unit = unit_of(results, group.task, near.metric)
    value, guess = (Number(e, unit) for e in (near.estimate, Estimate(near.chance, None, None, 0)))
    percent = " %" if unit == "rate" else ""
    return (
        f"{title_of(group)} is near chance: {near.metric} on clean images is {value.text}{percent} (n = {near.estimate.n}); without "
        f"looking at the image it would be {guess.value}{percent}. None of its numbers speaks of robustness: what finds nothing makes "
        "nothing up either."
    )


def _why_blocked(results: Results, group: Group, condition: str, reason: str) -> str:
    stop = next(f for f in results.flags(group, condition) if f.verdict == "stop")
    return f"blocked by {reason}: {stop.evidence}" + (f"; {stop.remedy}" if stop.remedy else "")


def exclusions(results: Results, task: Task, metric: str, most: int = 3) -> tuple[str, ...]:
    """Why samples do not count, one note for each set of reasons: the commonest with how often, and the conditions they hold for."""
    excluded = _where(results, task, most, lambda group, name: _reasons(results, group, name, metric))
    untouched = _where(results, task, most, lambda group, name: _group_reasons(Counter(results.not_attacked(group, name))))
    return (
        *(f"Excluded under {where}: {text}." for text, where in excluded.items()),
        *(f"Not attacked, and counted as they are, under {where}: {text}." for text, where in untouched.items()),
    )


def _where(results: Results, task: Task, most: int, reasons_of: Callable[[Group, str], Counter[str]]) -> dict[str, str]:
    """The conditions that each set of reasons holds for."""
    conditions: dict[str, list[str]] = {}
    groups = groups_of(results, task)
    for group in groups:
        for condition in ordered_conditions(results, task):
            reasons = reasons_of(group, condition.name)
            if reasons:
                where = condition.name if len(groups) == 1 else f"{condition.name} of {title_of(group)}"
                conditions.setdefault(_commonest(reasons, most), []).append(where)
    return {text: ", ".join(where) if len(where) <= 8 else f"{len(where)} conditions" for text, where in conditions.items()}


def _reasons(results: Results, group: Group, condition: str, metric: str) -> Counter[str]:
    """How often each reason holds."""
    reasons, key = Counter(results.reasons(group, condition)), results.metric(group, metric).evidence_key
    for excluded in results.rows(group, condition).excluded():
        reasons.update(dict.fromkeys((excluded[name] for name in (metric, key) if name in excluded), 1))
    return _group_reasons(reasons)


def _group_reasons(reasons: Counter[str]) -> Counter[str]:
    """What a reason says in brackets differs from sample to sample, and is left to the records."""
    grouped: Counter[str] = Counter()
    for reason, times in reasons.items():
        grouped[reason.partition(" (")[0]] += times
    return grouped


def _commonest(reasons: Counter[str], most: int) -> str:
    common = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(times for _, times in common[most:])
    return "; ".join([f"{times} × {reason}" for reason, times in common[:most]] + ([f"{rest} × other reasons"] if rest else []))


def scoring_note(results: Results, task: Task) -> tuple[str, ...]:
    """The warning that rows of edited images are scored on other pixels or objects than the clean row; empty without edits."""
    if task == "classification" or not results.conditions(task, "intervention"):
        return ()
    what = "pixels" if task == "segmentation" else "objects"
    return (
        f"Edited images are scored on the {what} that the edit left or put there, not on those of the clean images: the difference of two "
        "rows is no effect. Effects are paired, sample by sample, on what both images share: see Context sensitivity.",
    )


def alone_note(results: Results, task: Task) -> tuple[str, ...]:
    """The warning that a detector's removal is judged by AP alone; empty where a hallucination rate stands next to it."""
    removes = any(is_removal(results, task, c) for c in results.conditions(task, "intervention"))
    if task != "detection" or not removes or hallucination_metrics(results, task):
        return ()
    return ("This suite measures no hallucination rate: AP cannot show objects that are reported where they were removed (S25).",)


NORMS: dict[Norm, str] = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "pixels", "area": "area", "range": "range", "": ""}
"""How a budget's norm is written: "pixels" counts them, "area" is the share of the image's, "range" a share of turns and shifts."""


def budget_text(radius: float) -> str:
    """A budget as attacks' papers write it: eighths of a grey level or coarser as n/255, anything else as a decimal.

    >>> budget_text(8 / 255), budget_text(0.5)
    ('8/255', '0.5')
    """
    levels = radius * 255
    return f"{round(levels * 8) / 8:g}/255" if in_grey_levels([radius]) else f"{radius:.3g}"


def radius_text(norm: Norm, radius: float) -> str:
    """In grey levels in L-infinity, else a plain number."""
    return budget_text(radius) if norm == "linf" else f"{radius:.3g}"


def budget_of(facts: AttackFacts | None) -> str | None:
    """A built attack's radius; "none" without a bound, None without a single one."""
    if facts is None or not facts.norm:
        return None
    return "none" if facts.radius is None else radius_text(facts.norm, facts.radius)


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
