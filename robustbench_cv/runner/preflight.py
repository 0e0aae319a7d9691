"""Checks before a run, kept in the run folder under a key of what they saw, so that resuming does not repeat them."""

from __future__ import annotations

from typing import Literal

import msgspec

from robustbench_cv.catalogue import MODELS
from robustbench_cv.checks.doctor import diagnose
from robustbench_cv.files import write_json
from robustbench_cv.findings import Finding
from robustbench_cv.runner.fingerprint import code_sha256, digest, source_sha256, versions
from robustbench_cv.runner.plan import Pair
from robustbench_cv.runner.store import Store


def stored_preflight(store: Store, pair: Pair, device: str, *, skip_bad: bool = False) -> list[Finding]:
    """The findings of `diagnose`, from the run folder where model, data, code and versions are those of last time.

    BadSample for a sample that cannot be read, unless skip_bad.
    """
    own = source_sha256(MODELS, [pair.row.spec])
    seen = [pair.row, own, pair.dataset_row, pair.fingerprints, pair.class_map.key()]
    key = digest([*seen, code_sha256(checks=True), versions(), device, skip_bad])[:32]
    path = store.findings(key)
    if path.exists():
        return list(msgspec.json.decode(path.read_bytes(), type=tuple[Finding, ...]))
    bad: Literal["warn", "raise"] = "warn" if skip_bad else "raise"
    findings = diagnose(pair.model, pair.dataset, pair.class_map, pair.indices, device=device, bad=bad)
    write_json(path, findings)
    return findings
