"""The registries and the decorators that mark their entries. Imports no torch: listing answers in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustbench_cv.errors import UserError
from robustbench_cv.registry import Product, Registry, marker

if TYPE_CHECKING:
    from robustbench_cv.interventions.intervention import Intervention
    from robustbench_cv.metrics.metric import Metric
    from robustbench_cv.results import Report
    from robustbench_cv.suite import Suite
    from robustbench_cv.types import Dataset

MODEL = Product("a model (info, raw, decode)", ("info", "raw", "decode"))
DATASET = Product("a data set", ("name", "task", "labels", "ids", "fingerprint", "__len__", "__getitem__"))
INTERVENTION = Product("an intervention", ("needs", "control", "removes_objects"), is_callable=True)
ATTACK = Product("an attack", ("name", "success", "reference", "accepts", "search"))
METRIC = Product("a metric", ("name", "higher_is_better", "is_rate", "evidence_key", "measure", "reduce", "resample"))
CHECK = Product("a check, a function of what it examines", is_callable=True)
RECIPE = Product("a recipe", ("name", "architecture", "task", "network", "loss", "augment", "schedule", "metrics", "size"))
SUITE = Product("a suite", ("name", "version", "tracks", "seed", "gates", "reports", "strength"))
REPORT = Product("a report, a function of the results", is_callable=True)
"""By structure, as the contracts are: a factory of yours imports nothing from here. A test holds the attributes to the protocols."""

MODELS: Registry[Any] = Registry(
    "model",
    "robustbench_cv.models.classifiers",
    "robustbench_cv.models.segmenters",
    "robustbench_cv.models.detectors",
    "robustbench_cv.models.embedders",
    "robustbench_cv.models.sources",
    "robustbench_cv.models.files",
    product=MODEL,
    tagged=True,
)
DATASETS: Registry[Dataset] = Registry("dataset", "robustbench_cv.data", "robustbench_cv.data.scenes", product=DATASET)
INTERVENTIONS: Registry[Intervention] = Registry("intervention", "robustbench_cv.interventions", product=INTERVENTION)
ATTACKS: Registry[Any] = Registry("attack", "robustbench_cv.attacks", product=ATTACK)
METRICS: Registry[Metric] = Registry("metric", "robustbench_cv.metrics", product=METRIC)
CHECKS: Registry[Any] = Registry("check", "robustbench_cv.checks", product=CHECK)
RECIPES: Registry[Any] = Registry("recipe", "robustbench_cv.training", product=RECIPE)
SUITES: Registry[Suite] = Registry("suite", "robustbench_cv.suites", product=SUITE)
REPORTS: Registry[Report] = Registry("report", "robustbench_cv.reports", product=REPORT)

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
    """Register everything that a plug-in file marks, of any kind; its names as "kind name". The file is read, not run.

    UserError where it cannot be read, where it marks nothing, and for a name that is registered already.
    """
    names = [f"{registry.kind} {name}" for registry in REGISTRIES.values() for name in registry.add_file(path)]
    if not names:
        raise UserError(
            f"{path} marks nothing to register; put @attack(), @model() or another of robustbench_cv.catalogue's marks on a factory"
        )
    return names
