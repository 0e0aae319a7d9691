"""Is any number going to be wrong? Every check on one model and one data set, before anything is computed."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.checks.check import Preflight
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import BadSample, ForeignError, NotApplicable, RobustBenchError
from robustbench_cv.findings import SEVERITY, Finding
from robustbench_cv.foreign import read_sample
from robustbench_cv.types import AnyModel, Dataset, Sample

SAMPLES = 64

_HANDICAP = {"S19": 0.2}
"""A renaming of classes has many free choices: it must explain more than one change of the input does to be named as the cause."""


def check_names(stage: str) -> list[str]:
    """The registered checks of a stage ("before", "after"), by name."""
    return [name for name, entry in sorted(CHECKS.entries().items()) if entry.facts.get("stage") == stage]


def examine(model: AnyModel, dataset: Dataset, class_map: ClassMap, indices: Sequence[int], *, device: str = "cpu") -> list[Finding]:
    """Every check that precedes a run, on up to 64 readable samples spread over `indices` of the data set; the severest first.

    A check is not tried where one that it needs says stop. Of several that would mend the same fault, only the one that explains most
    accuses.
    """
    info = model.info
    samples = _readable(dataset, class_map, indices)
    if not samples:
        finding = Finding("S01", "image range", "stop", "no sample could be read", "mend the data set")
        return [replace(finding, model=info.name, dataset=dataset.name, task=info.task)]
    found = _one_cause(_examine_all(Preflight(model, info.task, samples, dataset.name, device)))
    found.sort(key=lambda f: (SEVERITY.index(f.verdict), f.check))
    return [replace(f, model=info.name, dataset=dataset.name, task=info.task) for f in found]


def _readable(dataset: Dataset, class_map: ClassMap, indices: Sequence[int]) -> list[Sample]:
    """Samples in the model's class indices; those that cannot be read are left to the run, which records them."""
    found = []
    for i in indices[:: max(1, len(indices) // SAMPLES)][:SAMPLES]:
        try:
            found.append(class_map.sample(read_sample(dataset, i)))
        except (BadSample, ForeignError, NotApplicable):
            continue
    return found


def _examine_all(subject: Preflight) -> list[Finding]:
    """One finding of each check, those that others need first."""
    found: dict[str, Finding] = {}
    waiting = check_names("before")
    while waiting:
        name = next(n for n in waiting if not set(_needs(n)) & set(waiting))
        waiting.remove(name)
        stopped = next((found[n] for n in _needs(name) if n in found and found[n].verdict == "stop"), None)
        found[name] = _not_tried(name, stopped) if stopped else _examine_one(name, subject)
    return list(found.values())


def _needs(name: str) -> list[str]:
    return str(CHECKS.entry(name).facts.get("needs", "")).split()


def _not_tried(name: str, stopped: Finding) -> Finding:
    id_, title = _named(name)
    return Finding(id_, title, "not applicable", f"not tried, since {stopped.check} says stop", f"mend {stopped.check}, then check again")


def _examine_one(name: str, subject: Preflight) -> Finding:
    try:
        finding: Finding = CHECKS.build(name)(subject)
    except RobustBenchError:
        raise
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        evidence = f"the model raised {type(error).__name__}: {reason} ({Path(frame.filename).name}, line {frame.lineno})"
        return Finding(*_named(name), "stop", evidence, "let the model take any image of this data set")
    return finding


def _named(name: str) -> tuple[str, str]:
    """A check's id and title from its registered name, where it could not speak for itself."""
    id_, _, title = name.partition("-")
    return id_.upper(), title.replace("-", " ")


def _one_cause(found: Sequence[Finding]) -> list[Finding]:
    """The findings, where several would raise the quality of the predictions, with one cause: the others become notes."""
    rivals = [f for f in found if f.gain is not None and f.verdict in ("stop", "warn")]
    cause = max(rivals, key=lambda f: (f.verdict == "stop", (f.gain or 0.0) - _HANDICAP.get(f.check, 0.0)), default=None)
    if cause is None or cause.verdict != "stop":
        return list(found)
    return [_follows(f, cause) if f in rivals and f is not cause else f for f in found]


def _follows(finding: Finding, cause: Finding) -> Finding:
    return replace(finding, verdict="note", remedy=f"probably follows from {cause.check}: mend that, then check again")
