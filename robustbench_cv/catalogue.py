"""The registries and the decorators that mark their entries. Imports no torch: listing answers in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustbench_cv.registry import Registry, marker

if TYPE_CHECKING:
    from robustbench_cv.interventions.intervention import Intervention
    from robustbench_cv.metrics.metric import Metric
    from robustbench_cv.results import Report
    from robustbench_cv.suite import Suite
    from robustbench_cv.types import Dataset

MODELS: Registry[Any] = Registry(
    "model",
    "robustbench_cv.models.classifiers",
    "robustbench_cv.models.segmenters",
    "robustbench_cv.models.detectors",
    "robustbench_cv.models.embedders",
    "robustbench_cv.models.sources",
    "robustbench_cv.models.files",
)
DATASETS: Registry[Dataset] = Registry("dataset", "robustbench_cv.data", "robustbench_cv.data.scenes")
INTERVENTIONS: Registry[Intervention] = Registry("intervention", "robustbench_cv.interventions")
ATTACKS: Registry[Any] = Registry("attack", "robustbench_cv.attacks")
METRICS: Registry[Metric] = Registry("metric", "robustbench_cv.metrics")
CHECKS: Registry[Any] = Registry("check", "robustbench_cv.checks")
RECIPES: Registry[Any] = Registry("recipe", "robustbench_cv.training")
SUITES: Registry[Suite] = Registry("suite", "robustbench_cv.suites")
REPORTS: Registry[Report] = Registry("report", "robustbench_cv.reports")

REGISTRIES: dict[str, Registry[Any]] = {
    registry.kind + "s": registry for registry in (MODELS, DATASETS, INTERVENTIONS, ATTACKS, METRICS, CHECKS, RECIPES, SUITES, REPORTS)
}

model = marker("model")
dataset = marker("dataset")
intervention = marker("intervention")
attack = marker("attack")
metric = marker("metric")
check = marker("check")
recipe = marker("recipe")
suite = marker("suite")
report = marker("report")


def add_plugin(path: str) -> list[str]:
    """Register everything that a plug-in file marks, of any kind; its names as "kind name"."""
    return [f"{registry.kind} {name}" for registry in REGISTRIES.values() for name in registry.add_file(path)]
