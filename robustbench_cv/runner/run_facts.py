"""What the built parts of a run are, for run.json: reports read these facts, and no spec or name."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from robustbench_cv.adversary.attack_facts import facts_of
from robustbench_cv.adversary.entry_facts import entry_facts_of
from robustbench_cv.adversary.universal.judging import attack_of
from robustbench_cv.bundled_weights import bundled_tags
from robustbench_cv.catalogue import DATASETS, INTERVENTIONS, METRICS, MODELS
from robustbench_cv.errors import UserError
from robustbench_cv.interventions.context_facts import ContextFacts, HasContextFacts
from robustbench_cv.interventions.corruption_facts import CorruptionFacts, HasCorruptionFacts
from robustbench_cv.registry import Entry, Registry, Spec
from robustbench_cv.results import ArchitectureRow, ConditionFacts, TrackRow
from robustbench_cv.suite import Condition


def with_facts(track: TrackRow) -> TrackRow:
    """The track with the facts of each of its conditions, and the definitions of its metrics."""
    defined = tuple(msgspec.structs.replace(m, definition=_summary(m.name), title=_title(m.name)) for m in track.metrics)
    return msgspec.structs.replace(track, metrics=defined, facts={c.name: condition_facts(c) for c in track.conditions})


def condition_facts(condition: Condition) -> ConditionFacts:
    """Its attack's budget and cost, whether its edits take objects away, and its corruption, as the built things declare it."""
    removes, corruption = removes_objects(condition.interventions), corruption_of(condition.interventions)
    if condition.attack is None:
        return ConditionFacts(removes_objects=removes, corruption=corruption, context=context_of(condition.interventions))
    with warnings.catch_warnings():
        # Of steps that cannot reach the budget: whoever runs the attack is told when it is built for that.
        warnings.simplefilter("ignore", UserWarning)
        built = attack_of(condition)
        entry = entry_facts_of(condition.attack)
        return ConditionFacts(removes_objects=removes, attack=facts_of(built), corruption=corruption, entry=entry)


def removes_objects(specs: Sequence[str]) -> bool:
    """Whether any of these interventions takes objects away."""
    return any(INTERVENTIONS.build(spec).removes_objects for spec in specs)


def corruption_of(specs: Sequence[str]) -> CorruptionFacts | None:
    """What a single corruption declares; None where there is another edit, or none."""
    made = INTERVENTIONS.build(specs[0]) if len(specs) == 1 else None
    return made.corruption_facts if isinstance(made, HasCorruptionFacts) else None


def context_of(specs: Sequence[str]) -> ContextFacts | None:
    """What a single edit of an object or of its context declares; None where there is another edit, or none."""
    made = INTERVENTIONS.build(specs[0]) if len(specs) == 1 else None
    return made.context_facts if isinstance(made, HasContextFacts) else None


def architecture(spec: str) -> ArchitectureRow:
    """The year and family of a model's architecture, where the registry has it under the spec's name."""
    entry = _entry(MODELS, spec)
    year, family = (None, "") if entry is None else (entry.facts.get("year"), entry.facts.get("family"))
    return ArchitectureRow(spec, year if isinstance(year, int) else None, str(family or ""))


def licences(models: Iterable[str], datasets: Iterable[str]) -> dict[str, str]:
    """By spec, of those that declare one: in their registration, or as weights that this package brings along."""
    made = {spec: str(entry.facts.get("licence", "")) for spec in datasets if (entry := _entry(DATASETS, spec)) is not None}
    for spec in models:
        name, _, tag = Spec.parse(spec).name.partition(".") if _entry(MODELS, spec) is not None else ("", "", "")
        made[spec] = BUNDLED_LICENCE if tag and tag in bundled_tags(name) else ""
    return {spec: licence for spec, licence in made.items() if licence}


def limits(datasets: Iterable[str]) -> dict[str, str]:
    """By spec, of the data sets whose registration says what they are not good for."""
    made = {spec: str(entry.facts.get("limit", "")) for spec in datasets if (entry := _entry(DATASETS, spec)) is not None}
    return {spec: limit for spec, limit in made.items() if limit}


BUNDLED_LICENCE = "Apache-2.0, trained by this package's own recipe"
"""Of the weights that come with the package."""


def environment() -> dict[str, str]:
    """What a run depends on beside its packages."""
    return {"Python": f"{platform.python_version()} ({platform.python_implementation()})", "operating system": platform.platform()}


def _title(metric: str) -> str:
    entry = _entry(METRICS, metric)
    return "" if entry is None else str(entry.facts.get("title", ""))


def _summary(metric: str) -> str:
    """The first line of a metric's own documentation; empty for one that is not registered."""
    entry = _entry(METRICS, metric)
    return "" if entry is None else entry.summary


def _entry(registry: Registry[Any], spec: str) -> Entry | None:
    """What is registered under a spec's name, weights left out; None for a model that was built by hand, under whatever name."""
    try:
        return registry.entry(Spec.parse(spec).name.partition(".")[0])
    except UserError:
        return None
