"""The registries and the decorators that mark their entries. Imports no torch: listing answers in milliseconds."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from robustbench_cv.bare_paths import data_hint, model_hint
from robustbench_cv.bundled_weights import bundled, cached_weights, lacking
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Product, Registry, marker
from robustbench_cv.registry_scan import Entry
from robustbench_cv.specs import Spec

if TYPE_CHECKING:
    from robustbench_cv.interventions.intervention import Intervention
    from robustbench_cv.metrics.metric import Metric
    from robustbench_cv.suite import Suite
    from robustbench_cv.types import Dataset

MODEL = Product("a model (info, raw, decode)", ("info", "raw", "decode"))
DATASET = Product("a data set", ("name", "task", "labels", "ids", "fingerprint", "__len__", "__getitem__"))
INTERVENTION = Product("an intervention", ("needs", "control", "removes_objects"), is_callable=True)
ATTACK = Product("an attack", ("name", "success", "reference", "accepts", "search"))
METRIC = Product(
    "a metric",
    (
        "name",
        "higher_is_better",
        "is_rate",
        "unit",
        "range",
        "counts_absent",
        "evidence_key",
        "evidence_type",
        "chance",
        "measure",
        "reduce",
        "resample",
    ),
)
CHECK = Product("a check, a function of what it examines", is_callable=True)
RECIPE = Product("a recipe", ("name", "architecture", "task", "network", "loss", "augment", "schedule", "metrics", "size"))
SUITE = Product("a suite", ("name", "version", "tracks", "seed", "gates", "reports", "strength"))
REPORT = Product("a report, a function of the results", is_callable=True)
"""By structure, as the contracts are: a factory of yours imports nothing from here. A test holds the attributes to the protocols."""

T = TypeVar("T")


def _lacking_weights(entry: Entry, tag: str) -> str:
    """Of a model that is registered: known tags of bundled weights are for the models that have them; others may be a library's own."""
    every = bundled()
    tags = every.get(entry.name, [])
    if entry.path is not None or tag in tags or (not tags and not any(tag in known for known in every.values())):
        return ""
    if cached_weights(entry.name, tag).is_file():
        return ""
    task = entry.facts.get("task")
    return lacking(entry.name, tag, {e.name for e in MODELS.entries().values() if task is None or e.facts.get("task") == task})


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
    beside={"key": "checkpoint"},
    path_hint=model_hint,
    lacking=_lacking_weights,
)
DATASETS: Registry[Dataset] = Registry("dataset", "robustbench_cv.data", "robustbench_cv.data.scenes", product=DATASET, path_hint=data_hint)
INTERVENTIONS: Registry[Intervention] = Registry(
    "intervention", "robustbench_cv.interventions", "robustbench_cv.interventions.corruptions", product=INTERVENTION
)
ATTACKS: Registry[Any] = Registry("attack", "robustbench_cv.attacks", product=ATTACK)
METRICS: Registry[Metric] = Registry("metric", "robustbench_cv.metrics", product=METRIC)
CHECKS: Registry[Any] = Registry("check", "robustbench_cv.checks", product=CHECK)
RECIPES: Registry[Any] = Registry("recipe", "robustbench_cv.training", product=RECIPE)
SUITES: Registry[Suite] = Registry("suite", "robustbench_cv.suites", product=SUITE)
REPORTS: Registry[Any] = Registry("report", "robustbench_cv.reports", product=REPORT)

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


def build_stored(registry: Registry[T], spec: str, typed: Collection[str] = (), **more: Any) -> T:
    """What a spec in a run folder names, built: a folder may name what is registered, and never a file of code.

    typed: specs that the user typed in this very call, and files of plug-ins that the user loaded, are the user's own wish. UserError.
    """
    name = Spec.parse(spec).name
    if name.endswith(".py") and spec not in typed and str(Path(name).resolve()) not in plugins():
        raise UserError(
            f"the run folder names {spec!r} as a {registry.kind}: that would run a file of code, and results never do. "
            f"If you know the file, read the folder with --plugin {name}"
        )
    return registry.build(spec, **more)


def plugins() -> list[str]:
    """The plug-in files that were registered, for a process that is to know the same names."""
    return sorted({str(file) for registry in REGISTRIES.values() for file in registry.plugin_files()})


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
