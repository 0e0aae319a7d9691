"""The code that a cell's records come from: the engine as far as the cell uses it, and whatever its parts were built from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.code_lookups import Lookup
from robustbench_cv.model_from_predictions import ClosedModel
from robustbench_cv.runner import cell, job, saved_images
from robustbench_cv.runner.dependencies import Dependencies, DependencyReader
from robustbench_cv.suite import Condition
from robustbench_cv.types import AnyModel, HasModule

_ENGINE = tuple(module.__name__ for module in (cell, job, saved_images))


def engine_code(reader: DependencyReader, condition: Condition, *, is_fitted: bool, is_warm: bool, transfers: bool) -> Dependencies:
    """What runs a cell, whatever the model, without what the condition has none of: edits, attacks, transfers, fits, warm starts."""
    idle = []
    if not condition.interventions:
        idle += ["robustbench_cv.interventions"]
    if condition.attack is None:
        idle += ["robustbench_cv.adversary", "robustbench_cv.runner.attack_search"]
    if not is_fitted:
        idle += ["robustbench_cv.runner.universal_fit"]
    if not transfers:
        idle += ["robustbench_cv.adversary.combinators.transfer"]
    if not is_warm:
        idle += ["robustbench_cv.runner.budget_warm_start"]
    return reader.of(_ENGINE, without=idle)


def model_code(reader: DependencyReader, model: AnyModel) -> Dependencies:
    """Of a model that was handed over built: the code of its class, and of its modules' classes."""
    parts = [model, *(model.module.modules() if isinstance(model, HasModule) else ())]
    parts += model.answers.values() if isinstance(model, ClosedModel) else ()
    return reader.of(_roots({type(part).__module__ for part in parts}))


def _roots(modules: set[str]) -> Iterator[str | Lookup]:
    for name in sorted(modules):
        file = getattr(sys.modules.get(name), "__file__", None)
        # A user's file goes under a name of its own, or is the program itself.
        yield Lookup("model", "", Path(file)) if file and name.startswith(("__main__", "robustbench_cv_file_")) else name


def check_code(stage: str) -> list[Lookup]:
    """Every registered check of a stage."""
    checks = [entry for _, entry in sorted(CHECKS.entries().items()) if entry.facts.get("stage") == stage]
    return [Lookup("check", entry.module, entry.path) for entry in checks]
