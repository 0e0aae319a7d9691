"""S05 and S06: is the model frozen in eval mode, and does evaluating it leave it as it was?"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Finding, Preflight
from robustbench_cv.models.adapt import weights_sha256
from robustbench_cv.types import Candidates, HasModule, Model, Raw

_ENOUGH = 8
_TOLERANCE = 1e-4


@check(stage="before")
def s05_mode() -> Before:
    """No module is in train mode, two passes agree, a sample's output is its own, and weights, buffers and labels stay bit-identical."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    title = "eval mode, nothing mutated"
    module = subject.model.module if isinstance(subject.model, HasModule) else None
    if module is not None:
        training = [name or "the model itself" for name, part in module.named_modules() if part.training]
        if training:
            evidence = f"{len(training)} modules are in train mode, first {training[0]!r}"
            return Finding("S05", title, "stop", evidence, "call .eval() on the module before handing it over")
    before = weights_sha256(module) if module is not None else ""
    labels = [_target_tensors(s.target) for s in subject.samples]
    kept = [[t.clone() for t in tensors] for tensors in labels]
    images = _one_shape(subject)
    first, second, alone = _passes(cast("Model[Any]", subject.model), images)
    if (module is not None and weights_sha256(module) != before) or any(
        not torch.equal(a, b) for now, then in zip(labels, kept, strict=True) for a, b in zip(now, then, strict=True)
    ):
        return Finding("S06", title, "stop", "parameters, buffers or labels changed while predicting", "predict without updating anything")
    if first > _TOLERANCE:
        remedy = "switch off dropout and batch statistics (eval mode), or attack it as a randomised model"
        return Finding("S05", title, "stop", f"two passes over the same images differ by {first:.2g}", remedy)
    if max(second, alone) > 100 * _TOLERANCE:
        remedy = "a sample's prediction must not depend on the rest of its batch: use running statistics in batch normalisation"
        return Finding("S05", title, "stop", f"the same image alone and in a batch differs by {max(second, alone):.2g}", remedy)
    return Finding("S05", title, "pass", f"two passes over {len(images)} images agree to {first:.1g}, alone and in a batch to {alone:.1g}")


def _one_shape(subject: Preflight) -> Tensor:
    shape = subject.samples[0].image.shape
    same = [s.image for s in subject.samples if s.image.shape == shape][:_ENOUGH]
    return torch.stack(same).to(subject.device)


def _passes(model: Model[Any], images: Tensor) -> tuple[float, float, float]:
    """Greatest differences: between two equal passes, to the batch in reverse order, to the first image alone; relative to the outputs."""
    with torch.no_grad():
        one, two = _scores(model.raw(images)), _scores(model.raw(images))
        back = _scores(model.raw(images.flip(0))).flip(0)
        alone = _scores(model.raw(images[:1]))
    scale = float(one.abs().max().clamp(min=1))
    return _gap(one, two) / scale, _gap(one, back) / scale, _gap(one[:1], alone) / scale


def _scores(raw: Raw) -> Tensor:
    """Comparable numbers of a raw output: per row, best first for candidates, whose order and count may depend on padding."""
    if not isinstance(raw, Candidates):
        return raw.values.flatten(1)
    best = raw.log_score.amax(-1).masked_fill(~raw.valid, -torch.inf).exp()
    return best.sort(dim=1, descending=True).values[:, :10]


def _gap(a: Tensor, b: Tensor) -> float:
    width = min(a.shape[1], b.shape[1])
    return float((a[:, :width] - b[:, :width]).abs().max())


def _target_tensors(target: object) -> list[Tensor]:
    return [v for v in vars(target).values() if isinstance(v, Tensor)]
