"""The robustness benchmark for computer vision whose numbers defend themselves.

>>> import robustbench_cv as rb
>>> rb.Spec.parse("pgd(eps=8/255)").name
'pgd'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from robustbench_cv.api import report, run, table
    from robustbench_cv.errors import NotApplicable, UserError
    from robustbench_cv.gates import judge
    from robustbench_cv.registry import Spec
    from robustbench_cv.results import Results
    from robustbench_cv.scoring.render import render
    from robustbench_cv.scoring.score_request import score
    from robustbench_cv.sql import query
    from robustbench_cv.suite import Condition, Gate, Suite, Track
    from robustbench_cv.training.train_on_demand import build
    from robustbench_cv.types import Labels, ModelInfo, Sample, predict

_HOMES = {
    "Condition": "suite",
    "Gate": "suite",
    "Labels": "types",
    "ModelInfo": "types",
    "NotApplicable": "errors",
    "Results": "results",
    "Sample": "types",
    "Spec": "registry",
    "Suite": "suite",
    "Track": "suite",
    "UserError": "errors",
    "build": "training.train_on_demand",
    "judge": "gates",
    "predict": "types",
    "query": "sql",
    "render": "scoring.render",
    "report": "api",
    "run": "api",
    "score": "scoring.score_request",
    "table": "api",
}
"""The module of each public name: nothing is imported before it is used."""

__all__ = [
    "Condition",
    "Gate",
    "Labels",
    "ModelInfo",
    "NotApplicable",
    "Results",
    "Sample",
    "Spec",
    "Suite",
    "Track",
    "UserError",
    "build",
    "judge",
    "predict",
    "query",
    "render",
    "report",
    "run",
    "score",
    "table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'robustbench_cv' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"robustbench_cv.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
