"""S06: does evaluating a model leave the model, the images and the labels as they were?"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.models.adapt import weights_sha256
from robustbench_cv.types import HasModule, Model

_TITLE = "nothing mutated"


@check(
    stage="before",
    needs="s05-mode",
    cost="passes",
    action="stop",
    gives="what changed while predicting: parameters or buffers, the images, the labels",
)
def s06_mutation() -> Before:
    """Predicting leaves weights, buffers, images and labels bit-identical: else a sample's score depends on what was judged before it."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    module = subject.model.module if isinstance(subject.model, HasModule) else None
    images = subject.few_images(1) if subject.is_huge else subject.few_images()
    before = _state(subject, module, images)
    model = cast("Model[Any]", subject.model)
    with torch.no_grad():
        model.decode(model.raw(images))
    after = _state(subject, module, images)
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        evidence = f"{' and '.join(changed)} changed while predicting"
        return Finding("S06", _TITLE, "stop", evidence, "predict without updating anything, and never write into the images handed over")
    return Finding("S06", _TITLE, "pass", f"predicting {len(images)} images in eval mode left everything bit-identical")


def _state(subject: Preflight, module: torch.nn.Module | None, images: Tensor) -> dict[str, object]:
    """Everything that predicting must leave alone, in a form that can be compared."""
    return {
        "parameters or buffers": "" if module is None else weights_sha256(module),
        "the images": images.cpu().numpy().tobytes(),
        "the labels": tuple(t.numpy().tobytes() for s in subject.samples for t in _tensors(s.target)),
    }


def _tensors(target: object) -> list[Tensor]:
    return [v for v in vars(target).values() if isinstance(v, Tensor)]
