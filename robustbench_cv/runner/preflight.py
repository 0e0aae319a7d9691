"""Checks before a run, kept in the run folder under a key of what they saw, so that resuming does not repeat them."""

from __future__ import annotations

from typing import Literal

from robustbench_cv.checks.doctor import diagnose
from robustbench_cv.findings import Finding
from robustbench_cv.run_folder import PREFLIGHT, RunFolder, json_file
from robustbench_cv.runner.cell_code import check_code
from robustbench_cv.runner.dependencies import DependencyReader
from robustbench_cv.runner.planned_cells import Pair


def stored_preflight(folder: RunFolder, pair: Pair, device: str, reader: DependencyReader, *, skip_bad: bool = False) -> list[Finding]:
    """The findings of `diagnose`, from the run folder where model, data, code and versions are those of last time.

    BadSample for a sample that cannot be read, unless skip_bad.
    """
    code = pair.code | reader.of([diagnose.__module__, *check_code("before")])
    facts = [pair.identity, pair.dataset_row, pair.fingerprints, pair.class_map.key(), code.sha256, device, skip_bad]
    bad: Literal["warn", "raise"] = "warn" if skip_bad else "raise"
    return folder.remember(
        PREFLIGHT,
        facts,
        json_file(list[Finding]),
        lambda: diagnose(pair.model, pair.dataset, pair.class_map, pair.indices, device=device, bad=bad),
    )
