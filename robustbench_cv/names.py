"""Whether names lead to something, asked of the registries alone: a misspelt one is answered in milliseconds, before torch is imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, METRICS, MODELS, RECIPES, REPORTS, SUITES
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Registry, Spec
from robustbench_cv.suite import Suite, read_suite


def find_suite(name: str) -> Suite:
    """A suite by registered name, Python file or YAML file. UserError with the closest names where there is none."""
    return read_suite(Path(name)) if name.endswith((".yaml", ".yml")) else SUITES.build(name)


def require_model(spec: str) -> None:
    """UserError unless a model's spec names an architecture, a source or a file. Whether its weights exist is not asked."""
    _require(MODELS, spec)


def require_data(spec: str) -> None:
    """UserError unless a data set's spec names a reader."""
    _require(DATASETS, spec)


def require_recipe(spec: str) -> None:
    """UserError unless a spec names a recipe."""
    _require(RECIPES, spec)


def require_all(suite: Suite, models: Iterable[str] = (), data: Iterable[str] = ()) -> None:
    """UserError for the first spec that names nothing: of the user's models and data, then of all that the suite names."""
    for spec in models:
        require_model(spec)
    for spec in data:
        require_data(spec)
    for track in suite.tracks:
        _require_each(MODELS, track.models)
        _require_each(DATASETS, track.datasets)
        _require_each(ATTACKS, [c.attack for c in track.conditions if c.attack is not None])
        _require_each(INTERVENTIONS, [spec for c in track.conditions for spec in c.interventions])
        _require_each(METRICS, track.metrics)
    _require_each(REPORTS, suite.reports)


def is_bundled(registry: Registry[Any], spec: str) -> bool:
    """Whether a spec names something of this package, and not of a user's file or another package."""
    name = Spec.parse(spec).name
    if name.endswith(".py"):
        return False
    entry = registry.entry(_untagged(registry, name))
    return entry.path is None and entry.module.partition(".")[0] == "robustbench_cv"


def _require_each(registry: Registry[Any], specs: Iterable[str]) -> None:
    for spec in specs:
        _require(registry, spec)


def _require(registry: Registry[Any], spec: str) -> None:
    name = Spec.parse(spec).name
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise UserError(f"no file {name}; write file.py:factory with a path from {Path.cwd()}")
        return
    registry.entry(_untagged(registry, name))


def _untagged(registry: Registry[Any], name: str) -> str:
    """Without the weights that a model's name has after a dot ("lenet5.scenes"); no other kind has dots in its names."""
    return name.partition(".")[0] if registry is MODELS else name
