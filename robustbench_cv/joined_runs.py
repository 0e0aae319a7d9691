"""Several runs as one: their models and conditions side by side, as far as their protocols agree. Nothing is computed again.

A model that two runs have with the same weights keeps its name, and brings the conditions of both; with other weights it is named after
its run. What two runs call by one name must be one thing: the samples of a data set, a condition, the seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pyarrow

from robustbench_cv.check_findings import Finding
from robustbench_cv.compare import protocol_differences, spelled
from robustbench_cv.errors import UserError
from robustbench_cv.record_store import ConditionRecords, Place, Source
from robustbench_cv.results import Results, RunInfo, TrackRow
from robustbench_cv.tasks import Task


@dataclass(frozen=True, eq=False)
class _Sources:
    """Records of several runs. places: of the joined run, each with whose it is and how it is called there."""

    places: dict[Place, tuple[Source, Place]]
    empty: Source

    def at(self, place: Place) -> ConditionRecords:
        source, there = self.places.get(place, (self.empty, NOWHERE))
        return source.at(there)

    def files(self, place: Place) -> list[Path] | None:
        """None: numbers of several runs are kept in no folder of one."""
        return None

    def tables(self) -> Iterable[pyarrow.Table]:
        raise UserError("joined runs have no records of their own: read them run by run")


NOWHERE = Place("", "", "", "")


def join(runs: Sequence[Results], *, same_protocol: bool = False) -> Results:
    """The runs as one, in the order given. same_protocol: they must be of one suite and version, with the same conditions and metrics.

    UserError naming what is not the same.
    """
    if not runs:
        raise UserError("there is no run to join; name a run folder")
    if len(runs) == 1:
        return runs[0]
    for other in runs[1:]:
        differences = list(protocol_differences(runs[0], other) if same_protocol else _conflicts(runs[0], other))
        if differences:
            listed = "\n".join(f"  * {text}" for text in differences)
            raise UserError(
                f"{_name(runs[0])} and {_name(other)} are not of one protocol, so their numbers stand in no one table:\n{listed}"
            )
    named = [_renamed(runs, i) for i in range(len(runs))]
    places: dict[Place, tuple[Source, Place]] = {}
    for results, names in zip(runs, named, strict=True):
        for group in results.groups():
            for condition in results.conditions(group.task):
                new = Place(group.task, names[group.task, group.model], group.dataset, condition.name)
                places.setdefault(new, (results.source, Place(group.task, group.model, group.dataset, condition.name)))
    findings = tuple(dict.fromkeys(f for results, names in zip(runs, named, strict=True) for f in _findings(results, names)))
    typed = frozenset(spec for results in runs for spec in results.typed)
    return Results(_run(runs, named), _Sources(places, runs[0].source), findings, None, typed)


def _findings(results: Results, names: dict[tuple[Task, str], str]) -> Iterator[Finding]:
    """What was said of a run's models, under their names here; what was said of all of them, of each."""
    for finding in results.findings:
        for (task, old), new in names.items():
            if finding.task in ("", task) and finding.model in ("", old):
                yield replace(finding, model=new, task=task)


def _name(results: Results) -> str:
    return str(results.folder) if results.folder is not None else results.run.suite


def _renamed(runs: Sequence[Results], at: int) -> dict[tuple[Task, str], str]:
    """What each model of a run is called among all runs."""
    names: dict[tuple[Task, str], str] = {}
    for group in runs[at].groups():
        weights = {r.model_row(g).weights_sha256 for r in runs for g in r.groups() if (g.task, g.model) == (group.task, group.model)}
        folder = runs[at].folder
        suffix = folder.name if folder is not None else str(at + 1)
        names[group.task, group.model] = group.model if len(weights) == 1 else f"{group.model} ({suffix})"
    return names


def _conflicts(a: Results, b: Results) -> Iterator[str]:
    """What both runs call by one name, and is not one thing."""
    if a.run.seed != b.run.seed:
        yield f"seed: {a.run.seed} and {b.run.seed}"
    for d in a.run.datasets:
        other = next((o for o in b.run.datasets if (o.name, o.task) == (d.name, d.task)), None)
        if other is not None and other.ids_sha256 != d.ids_sha256:
            yield f"samples of {d.name} ({d.task}): {d.n} and {other.n}, and not the same ones"
    for track in a.run.tracks:
        other_track = next((t for t in b.run.tracks if t.task == track.task), None)
        if other_track is None:
            continue
        there = {c.name: c for c in other_track.conditions}
        for c in track.conditions:
            if c.name in there and there[c.name] != c:
                yield f"{track.task} condition {c.name!r}: {spelled(c)} and {spelled(there[c.name])}"
        if track.metrics[0].name != other_track.metrics[0].name:
            yield f"the first metric for {track.task}: {track.metrics[0].name} and {other_track.metrics[0].name}"


def _run(runs: Sequence[Results], named: Sequence[dict[tuple[Task, str], str]]) -> RunInfo:
    infos = [results.run for results in runs]
    first = infos[0]
    suites = list(dict.fromkeys(info.suite for info in infos))
    rename = list(zip(infos, named, strict=True))
    tasks: list[Task] = list(dict.fromkeys(t.task for info in infos for t in info.tracks))
    models = {
        (m.task, names[m.task, m.name]): msgspec.structs.replace(m, name=names[m.task, m.name])
        for info, names in reversed(rename)
        for m in info.models
        if (m.task, m.name) in names
    }
    pairings = [
        msgspec.structs.replace(p, model=names[p.task, p.model])
        for info, names in rename
        for p in info.pairings
        if (p.task, p.model) in names
    ]
    complexity = [
        msgspec.structs.replace(c, model=names[c.task, c.model])
        for info, names in rename
        for c in info.complexity
        if (c.task, c.model) in names
    ]
    cells = [
        msgspec.structs.replace(c, model=names[c.task, c.model]) for info, names in rename for c in info.cells if (c.task, c.model) in names
    ]
    return msgspec.structs.replace(
        first,
        suite=" + ".join(suites),
        command=" && ".join(dict.fromkeys(info.command for info in infos)),
        tracks=tuple(_track(rename, task) for task in tasks),
        models=tuple(models.values()),
        datasets=tuple({(d.task, d.name): d for info in infos for d in info.datasets}.values()),
        pairings=tuple(dict.fromkeys(pairings)),
        cells=tuple({(c.task, c.model, c.dataset, c.condition, c.key): c for c in cells}.values()),
        gates=(),
        reports=tuple(dict.fromkeys(spec for info in infos for spec in info.reports)),
        notes=tuple(dict.fromkeys([*(note for info in infos for note in info.notes), f"Joined from {len(infos)} runs."])),
        complexity=tuple({(c.task, c.model, c.dataset): c for c in complexity}.values()),
        explanations=(),
        architectures=tuple({a.spec: a for info in infos for a in info.architectures}.values()),
        associations=tuple({(a.task, a.dataset): a for info in infos for a in info.associations}.values()),
    )


def _track(runs: Sequence[tuple[RunInfo, dict[tuple[Task, str], str]]], task: Task) -> TrackRow:
    """The tracks of one task as one: every model, data set, condition and metric once."""
    tracks = [(info.track(task), names) for info, names in runs if any(t.task == task for t in info.tracks)]
    return TrackRow(
        task,
        tuple(dict.fromkeys(names[task, model] for track, names in tracks for model in track.models)),
        tuple(dict.fromkeys(d for track, _ in tracks for d in track.datasets)),
        tuple({c.name: c for track, _ in tracks for c in track.conditions}.values()),
        tuple({m.name: m for track, _ in tracks for m in track.metrics}.values()),
        {name: facts for track, _ in tracks for name, facts in track.facts.items()},
    )
