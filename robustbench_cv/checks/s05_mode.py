"""S05 and S06: is the model frozen in eval mode, and does evaluating it leave it as it was?"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.outputs import one_shape
from robustbench_cv.findings import Finding
from robustbench_cv.models.adapt import weights_sha256
from robustbench_cv.types import HasModule, Model

_TITLE = "eval mode, nothing mutated"


@check(stage="before", needs="s01-range")
def s05_mode() -> Before:
    """No module is in train mode; predicting leaves weights, buffers, modes, images and labels bit-identical."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    module = subject.model.module if isinstance(subject.model, HasModule) else None
    training = [] if module is None else [name or "the model itself" for name, part in module.named_modules() if part.training]
    if training:
        evidence = f"{len(training)} modules are in train mode, first {training[0]!r}"
        return Finding("S05", _TITLE, "stop", evidence, "call .eval() on the module before handing it over")
    images = one_shape(subject)
    before = _state(subject, module, images)
    model = cast("Model[Any]", subject.model)
    with torch.no_grad():
        model.decode(model.raw(images))
    after = _state(subject, module, images)
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        evidence = f"{' and '.join(changed)} changed while predicting"
        return Finding("S06", _TITLE, "stop", evidence, "predict without updating anything, and never write into the images handed over")
    return Finding("S05", _TITLE, "pass", f"predicting {len(images)} images in eval mode left everything bit-identical")


def _state(subject: Preflight, module: torch.nn.Module | None, images: Tensor) -> dict[str, object]:
    """Everything that predicting must leave alone, in a form that can be compared."""
    return {
        "parameters or buffers": "" if module is None else weights_sha256(module),
        "modes": () if module is None else tuple(part.training for part in module.modules()),
        "the images": images.cpu().numpy().tobytes(),
        "the labels": tuple(t.numpy().tobytes() for s in subject.samples for t in _tensors(s.target)),
    }


def _tensors(target: object) -> list[Tensor]:
    return [v for v in vars(target).values() if isinstance(v, Tensor)]
