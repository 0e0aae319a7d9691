"""S05: is the model frozen in eval mode?"""

from __future__ import annotations

from typing import Any, cast

import torch

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.types import HasModule, Model

_TITLE = "eval mode"


@check(
    stage="before",
    needs="s01-range",
    cost="passes",
    action="stop",
    gives="the modules in train mode, the first by name",
)
def s05_mode() -> Before:
    """No module is in train mode, before a prediction and after it: dropout draws there, and normalisation asks the batch."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    module = subject.model.module if isinstance(subject.model, HasModule) else None
    if _training(module):
        return _stop(_training(module), "")
    model = cast("Model[Any]", subject.model)
    with torch.no_grad():
        model.decode(model.raw(subject.few_images(1)))
    if _training(module):
        return _stop(_training(module), " after a prediction, which switched them")
    return Finding("S05", _TITLE, "pass", "no module is in train mode, before a prediction and after it")


def _training(module: torch.nn.Module | None) -> list[str]:
    """Names of the modules in train mode."""
    return [] if module is None else [name or "the model itself" for name, part in module.named_modules() if part.training]


def _stop(training: list[str], when: str) -> Finding:
    evidence = f"{len(training)} modules are in train mode{when}, first {training[0]!r}"
    return Finding(
        "S05", _TITLE, "stop", evidence, "call .eval() on the module before handing it over, and leave its modes alone afterwards"
    )
