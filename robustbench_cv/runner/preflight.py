"""Checks before a run, once for each model on each data set: kept in the run folder under a key of what they saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.checks.check import Finding, Preflight
from robustbench_cv.errors import BadSample, NotApplicable
from robustbench_cv.runner.fingerprint import code_sha256, digest, source_sha256, versions
from robustbench_cv.runner.plan import Pair
from robustbench_cv.runner.store import Store, write_json
from robustbench_cv.types import Sample

SAMPLES = 64


def check_names(stage: str) -> list[str]:
    """The registered checks of a stage ("before", "after"), by name."""
    return [name for name, entry in sorted(CHECKS.entries().items()) if entry.facts.get("stage") == stage]


def preflight(pair: Pair, device: str) -> list[Finding]:
    """Run every check that precedes a run on a model and up to 64 readable samples."""
    subject = Preflight(pair.model, pair.row.task, _readable(pair), pair.dataset_row.name, device)
    named = [CHECKS.build(name)(subject) for name in check_names("before")]
    return [replace(f, model=pair.row.name, dataset=pair.dataset_row.name) for f in named]


def stored_preflight(store: Store, pair: Pair, device: str) -> list[Finding]:
    """The findings of `preflight`, from the run folder where model, data, code and versions are those of last time."""
    from robustbench_cv.catalogue import MODELS

    own = source_sha256(MODELS, [pair.row.spec])
    key = digest(
        [pair.row, own, pair.dataset_row, pair.fingerprints[:SAMPLES], pair.class_map.key(), code_sha256(checks=True), versions(), device]
    )[:32]
    path = store.findings(key)
    if path.exists():
        return list(msgspec.json.decode(path.read_bytes(), type=tuple[Finding, ...]))
    findings = preflight(pair, device)
    write_json(path, findings)
    return findings


def _readable(pair: Pair) -> Sequence[Sample]:
    """Samples spread over the data set, their targets in the model's class indices; those that cannot be read are left to the run."""
    step = max(1, len(pair.indices) // SAMPLES)
    found = []
    for i in pair.indices[::step][:SAMPLES]:
        try:
            found.append(pair.class_map.sample(pair.dataset[i]))
        except (BadSample, NotApplicable):
            continue
    return found
