"""Is any number going to be wrong? Every check on one model and one data set, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.checks.check import Finding, Preflight
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import BadSample, NotApplicable
from robustbench_cv.types import AnyModel, Dataset, Sample

SAMPLES = 64


def check_names(stage: str) -> list[str]:
    """The registered checks of a stage ("before", "after"), by name."""
    return [name for name, entry in sorted(CHECKS.entries().items()) if entry.facts.get("stage") == stage]


def examine(model: AnyModel, dataset: Dataset, class_map: ClassMap, indices: Sequence[int], *, device: str = "cpu") -> list[Finding]:
    """Every check that precedes a run, on up to 64 readable samples spread over `indices` of the data set."""
    info = model.info
    samples = _readable(dataset, class_map, indices)
    if not samples:
        return [Finding("S01", "image range", "stop", "no sample could be read", "mend the data set", info.name, dataset.name)]
    subject = Preflight(model, info.task, samples, dataset.name, device)
    found: list[Finding] = [CHECKS.build(name)(subject) for name in check_names("before")]
    return [replace(f, model=info.name, dataset=dataset.name) for f in found]


def _readable(dataset: Dataset, class_map: ClassMap, indices: Sequence[int]) -> list[Sample]:
    """Samples in the model's class indices; those that cannot be read are left to the run, which records them."""
    found = []
    for i in indices[:: max(1, len(indices) // SAMPLES)][:SAMPLES]:
        try:
            found.append(class_map.sample(dataset[i]))
        except (BadSample, NotApplicable):
            continue
    return found
