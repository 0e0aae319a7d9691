"""S34: was a patch or a universal perturbation fitted on images that it is judged on?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.catalogue import ATTACKS, check
from robustbench_cv.checks.check import After, Aftermath
from robustbench_cv.errors import RobustBenchError
from robustbench_cv.findings import Finding
from robustbench_cv.registry import Spec
from robustbench_cv.results import Group, Results
from robustbench_cv.run_folder import RunFolder, read_json

_TITLE = "no perturbation was fitted on judged samples"
_REMEDY = "fit it on another split with fit='...': one that has seen its test images proves nothing"
NAMED = 5
"""So many of the overlapping ids are spelled out."""


@check(stage="after")
def s34_fit_overlap() -> After:
    """Compares the samples that each fitted attack learned from with those that it was judged on; one in both blocks the number."""
    return lambda aftermath: list(_examine(aftermath)) or [Finding("S34", _TITLE, "not applicable", "no attack is fitted first")]


def _examine(aftermath: Aftermath) -> Iterator[Finding]:
    results = aftermath.results
    for group in results.groups():
        for condition in results.conditions(group.task, "attack"):
            attack = _fitted_attack(condition.attack or "")
            if attack is not None:
                yield _compared(results, group, condition.name, attack)


def _fitted_attack(spec: str) -> UniversalAttack[Any] | None:
    name = Spec.parse(spec).name
    if not name.endswith(".py") and not ATTACKS.entry(name).facts.get("fitted"):
        return None
    try:
        attack = ATTACKS.build(spec)
    except RobustBenchError:
        return None
    return attack if isinstance(attack, UniversalAttack) else None


def _compared(results: Results, group: Group, condition: str, attack: UniversalAttack[Any]) -> Finding:
    where = (group.model, group.dataset, condition)
    learned = set(attack.fitted_on if attack.theta is not None else _kept(results.folder, attack.name, group))
    rows = results.records
    mine = (rows.model == group.model) & (rows.dataset == group.dataset) & (rows.condition == condition) & (rows.task == group.task)
    judged = set(rows[mine]["sample"])
    if not learned:
        evidence = "nobody knows what this file was fitted on: there is no record beside it"
        return Finding("S34", _TITLE, "warn", evidence, "keep the .json that was written beside the picture", *where)
    shared = sorted(learned & judged)
    if shared:
        some = ", ".join(shared[:NAMED]) + (f" and {len(shared) - NAMED} more" if len(shared) > NAMED else "")
        return Finding("S34", _TITLE, "stop", f"{len(shared)} of {len(judged)} judged samples were fitted on: {some}", _REMEDY, *where)
    return Finding("S34", _TITLE, "pass", f"{len(learned)} samples fitted on, {len(judged)} judged, none in both", "", *where)


def _kept(folder: Path | None, name: str, group: Group) -> Sequence[str]:
    """The ids in the run folder's records of this attack on this model."""
    records = [] if folder is None else [read_json(p, dict) or {} for p in RunFolder(folder).artefact_records(name)]
    return [id_ for record in records if (record.get("model"), record.get("task")) == (group.model, group.task) for id_ in record["ids"]]
