"""S34: was a patch or a universal perturbation fitted on images that it is judged on?"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.catalogue import ATTACKS, check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import After, AfterRun
from robustbench_cv.errors import Damaged, RobustBenchError
from robustbench_cv.files import load_json
from robustbench_cv.registry import Spec
from robustbench_cv.results import Group, Results
from robustbench_cv.run_folder import RunFolder

_TITLE = "no perturbation was fitted on judged samples"
_REMEDY = "fit it on another split with fit='...': one that has seen its test images proves nothing"
NAMED = 5
"""So many of the overlapping ids are spelled out."""

logger = logging.getLogger(__name__)


@check(
    stage="after",
    cost="records",
    action="stop warn",
    gives="how many judged samples were fitted on, and the first of them",
)
def s34_fit_overlap() -> After:
    """Compares the samples that each fitted attack learned from with those that it was judged on; one in both blocks the number."""
    return lambda after_run: list(_examine(after_run)) or [Finding("S34", _TITLE, "not applicable", "no attack is fitted first")]


def _examine(after_run: AfterRun) -> Iterator[Finding]:
    results = after_run.results
    for group in results.groups():
        for condition in results.conditions(group.task, "attack"):
            attack = _fitted_attack(condition.attack or "")
            if attack is not None:
                yield _compare(results, group, condition.name, attack)


def _fitted_attack(spec: str) -> UniversalAttack[Any] | None:
    name = Spec.parse(spec).name
    if not name.endswith(".py") and not ATTACKS.entry(name).facts.get("fitted"):
        return None
    try:
        attack = ATTACKS.build(spec)
    except RobustBenchError:
        return None
    return attack if isinstance(attack, UniversalAttack) else None


def _compare(results: Results, group: Group, condition: str, attack: UniversalAttack[Any]) -> Finding:
    said = functools.partial(Finding, "S34", _TITLE, model=group.model, dataset=group.dataset, condition=condition, task=group.task)
    learned = set(attack.fitted_on if attack.theta is not None else _recorded_ids(results, group, attack))
    judged = set(results.rows(group, condition).samples.to_pylist())
    if not judged:
        return said("not applicable", "no sample was judged")
    if not learned:
        evidence = "nobody knows what this file was fitted on: there is no record beside it"
        return said("warn", evidence, "keep the .json that was written beside the picture")
    shared = sorted(learned & judged)
    if shared:
        some = ", ".join(shared[:NAMED]) + (f" and {len(shared) - NAMED} more" if len(shared) > NAMED else "")
        return said("stop", f"{len(shared)} of {len(judged)} judged samples were fitted on: {some}", _REMEDY)
    return said("pass", f"{len(learned)} samples fitted on, {len(judged)} judged, none in both")


def _recorded_ids(results: Results, group: Group, attack: UniversalAttack[Any]) -> Sequence[str]:
    """The ids in the run folder's records of this very attack, with its arguments, fitted on this very model."""
    if results.folder is None:
        return []
    model = {"model": group.model, "weights_sha256": results.model_row(group).weights_sha256}
    facts = json.loads(msgspec.json.encode(attack.fit_facts() | model))
    records = [_record(path) for path in RunFolder(results.folder).artefact_records(attack.name)]
    return [id_ for record in records if all(record.get(k) == v for k, v in facts.items()) for id_ in record.get("ids", [])]


def _record(path: Path) -> dict[str, Any]:
    """Nothing where it is damaged: a run fits such an attack again, and whoever only reads learns that nobody knows."""
    try:
        record: dict[str, Any] = load_json(path, dict, remedy="taken as missing")
    except Damaged as error:
        logger.warning("%s", error)
        return {}
    return record
