"""A plan in words: what a run would compute, and what of it cannot be, before its first cell."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from robustbench_cv.catalogue import INTERVENTIONS
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.results import TrackRow
from robustbench_cv.runner.planned_cells import Pair, Plan
from robustbench_cv.suite import Condition
from robustbench_cv.types import NamesRegions

LOOKED_AT = 8
"""Samples of a data set that are asked for regions (project choice: a data set gives regions to all samples or to none, nearly always)."""


def plan_in_words(plan: Plan) -> list[str]:
    """Lines for people: each task's models, data, conditions and metrics; gates; how many cells and records in all."""
    suite = plan.suite
    lines = [f"suite {suite.name}, version {suite.version}, seed {suite.seed}, on {plan.options.device}"]
    for track in plan.tracks:
        lines += ["", track.task, *_of_track(plan, track)]
    lines += [""] if suite.gates else []
    for gate in suite.gates:
        who = "every model" if gate.model == "*" else gate.model
        lines.append(f"gate: {gate.metric} under {gate.condition} of {who} {gate.sign} {gate.bound:g}")
    records = sum(cell.row.n for cell in plan.cells)
    return [*lines, "", f"in all {len(plan.cells):,} cells, {records:,} records; reports: {', '.join(suite.reports)}"]


def _of_track(plan: Plan, track: TrackRow) -> Iterator[str]:
    pairs = [pair for pair in plan.pairs if pair.row.task == track.task]
    samples = {pair.dataset_row.name: pair.dataset_row.n for pair in pairs}
    cells = [cell.row.n for cell in plan.cells if cell.row.task == track.task]
    yield f"  models      {', '.join(track.models)}"
    yield f"  data        {', '.join(f'{name} (n = {n:,})' for name, n in samples.items())}"
    yield f"  metrics     {', '.join(metric.name for metric in track.metrics)}"
    yield f"  conditions  {len(track.conditions)}, in {len(cells):,} cells with {sum(cells):,} records"
    width = max(len(_title(c)) for c in track.conditions)
    for condition in track.conditions:
        specs = [*condition.interventions, *([condition.attack] if condition.attack else [])]
        yield f"    {_title(condition):<{width}}  {', '.join(specs)}".rstrip()


def _title(condition: Condition) -> str:
    return f"↳ {condition.name}" if condition.control_of else condition.name


def missing_regions(plan: Plan) -> list[str]:
    """A sentence for each condition that none of a data set's samples will serve, since they lack a region that its edits need.

    Raises UserError for a class that an edit names and no data set of its task knows: neither as a label nor, where the data
    say that their regions are of other classes, as one of those.
    """
    out: dict[str, None] = {}
    unknown: dict[tuple[str, str], list[str]] = {}
    pairs = {pair.dataset_row: pair for pair in plan.pairs}.values()
    for pair in pairs:
        there: frozenset[str] | None = None
        for condition in next(t.conditions for t in plan.tracks if t.task == pair.row.task):
            needed = frozenset[str]().union(*(INTERVENTIONS.build(spec).needs for spec in condition.interventions))
            if not needed or condition.control_of is not None:
                continue
            there = _regions(pair, pair.indices[:LOOKED_AT]) if there is None else there
            lacking = sorted(name for name in needed if not _has(name, there))
            if lacking:
                has = f"it has {', '.join(sorted(there))}" if there else "it has none"
                text = f"{condition.name!r} needs the region {' and '.join(lacking)}, which {pair.dataset_row.name} does not have ({has})"
                out[f"{text}: it will be empty there; take data with masks or boxes, or leave the condition out"] = None
            unknown.setdefault((pair.row.task, condition.name), []).append(_unknown_class(lacking, pair, there))
    for (_, name), reasons in unknown.items():
        if all(reasons):
            raise UserError(f"{name!r} is about {reasons[0]}")
    return list(out)


def _unknown_class(lacking: Sequence[str], pair: Pair, there: frozenset[str]) -> str:
    """The first class that this data set cannot have, with what it has; empty where there is none."""
    seen = {name.removeprefix("class:") for name in there if name.startswith("class:")}
    known = pair.dataset.region_classes if isinstance(pair.dataset, NamesRegions) else pair.dataset.labels.names
    for name in lacking:
        wanted = name.removeprefix("class:")
        if wanted == name or "<" in name or wanted in known or not seen <= set(known):
            continue
        close = difflib.get_close_matches(wanted, known, n=2)
        meant = f"did you mean {' or '.join(map(repr, close))}?" if close else f"its classes are {', '.join(known)}"
        return f"a class {wanted!r}, which {pair.dataset_row.name} does not have; {meant}"
    return ""


def _has(name: str, regions: frozenset[str]) -> bool:
    """name: of a region, or of a kind of them ("class:<name>")."""
    kind = name.partition("<")[0]
    return name in regions or (kind != name and any(region.startswith(kind) for region in regions))


def _regions(pair: Pair, indices: Sequence[int]) -> frozenset[str]:
    """Of any of these samples; what cannot be read is told of elsewhere."""
    names: set[str] = set()
    for index in indices:
        try:
            names |= set(pair.dataset[index].regions)
        except BadSample:
            continue
    return frozenset(names)
