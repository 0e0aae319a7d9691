"""Checks before a run, kept in the run folder under a key of what they saw, so that resuming does not repeat them."""

from __future__ import annotations

from typing import Literal

from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.doctor import diagnose
from robustbench_cv.run_folder import PREFLIGHT, RunFolder, digest, json_file
from robustbench_cv.runner import supervisor_messages
from robustbench_cv.runner.cell_code import check_code
from robustbench_cv.runner.dependencies import DependencyReader
from robustbench_cv.runner.planned_cells import Pair


def stored_preflight(folder: RunFolder, pair: Pair, device: str, reader: DependencyReader, *, skip_bad: bool = False) -> list[Finding]:
    """The findings of `diagnose`, from the run folder where model, data, code and versions are those of last time.

    BadSample for a sample that cannot be read, unless skip_bad. Where the checks ended an earlier attempt of a run that is watched, a
    warning takes their place: the model's numbers are marked.
    """
    code = pair.code | reader.of([diagnose.__module__, *check_code("before")])
    facts = [pair.identity, pair.dataset_row, pair.fingerprints, pair.class_map.key(), code.sha256, device, skip_bad]
    bad: Literal["warn", "raise"] = "warn" if skip_bad else "raise"
    where = f"{pair.row.name} on {pair.dataset_row.name}"
    key = digest([pair.row.task, where])

    def make() -> list[Finding]:
        if (fault := supervisor_messages.fault_of(key)) is not None:
            return [_not_checked(pair, fault)]
        model = pair.model
        with supervisor_messages.step("checks", f"the checks of {where}", key):
            return diagnose(model, pair.dataset, pair.class_map, pair.indices, device=device, bad=bad)

    return folder.remember(PREFLIGHT, facts, json_file(list[Finding]), make)


def _not_checked(pair: Pair, fault: supervisor_messages.Fault) -> Finding:
    evidence = f"the model could not be checked on this data: {fault.reason}"
    remedy = "find the sample on which it does so; nobody knows what the checks would have said of these numbers"
    row = pair.row
    return Finding("S00", "checks before the run", "warn", evidence, remedy, model=row.name, dataset=pair.dataset_row.name, task=row.task)
