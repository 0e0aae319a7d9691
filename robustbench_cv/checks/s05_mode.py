"""S05 and S06: is the model frozen in eval mode, and does evaluating it leave it as it was?"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.findings import Finding
from robustbench_cv.models.adapt import weights_sha256
from robustbench_cv.types import Candidates, HasModule, Model, Raw

_TITLE = "eval mode, nothing mutated"
_ENOUGH = 8
_TOLERANCE = 1e-4


@check(stage="before", needs="s01-range")
def s05_mode() -> Before:
    """No module is in train mode, two passes agree, a sample's output is its own; weights, buffers, images, labels stay bit-identical."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    module = subject.model.module if isinstance(subject.model, HasModule) else None
    training = [] if module is None else [name or "the model itself" for name, part in module.named_modules() if part.training]
    if training:
        evidence = f"{len(training)} modules are in train mode, first {training[0]!r}"
        return Finding("S05", _TITLE, "stop", evidence, "call .eval() on the module before handing it over")
    images = _one_shape(subject)
    before = _state(subject, module, images)
    gaps = _passes(cast("Model[Any]", subject.model), images)
    after = _state(subject, module, images)
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        evidence = f"{' and '.join(changed)} changed while predicting"
        return Finding("S06", _TITLE, "stop", evidence, "predict without updating anything, and never write into the images handed over")
    return _of_gaps(gaps, len(images))


class _Gaps(NamedTuple):
    """Greatest differences: between two equal passes, to the batch in reverse order, to the first image alone; relative to the outputs."""

    again: float
    reversed: float
    alone: float


def _of_gaps(gaps: _Gaps, count: int) -> Finding:
    if gaps.again > _TOLERANCE:
        evidence = f"two passes over the same images differ by {gaps.again:.2g} of the outputs' size"
        return Finding(
            "S05", _TITLE, "stop", evidence, "switch off what draws random numbers (dropout outside eval mode, random transforms)"
        )
    batch = max(gaps.reversed, gaps.alone)
    if batch > 100 * _TOLERANCE:
        remedy = "a prediction must not depend on the rest of its batch: normalise with running statistics, not with the batch's"
        return Finding("S05", _TITLE, "stop", f"the same image alone and in a batch differs by {batch:.2g} of the outputs' size", remedy)
    return Finding("S05", _TITLE, "pass", f"two passes over {count} images agree to {gaps.again:.1g}, alone and in a batch to {batch:.1g}")


def _one_shape(subject: Preflight) -> Tensor:
    """Up to eight images of the commonest shape."""
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for sample in subject.samples:
        by_shape.setdefault(sample.image.shape, []).append(sample.image)
    return torch.stack(max(by_shape.values(), key=len)[:_ENOUGH]).to(subject.device)


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


def _passes(model: Model[Any], images: Tensor) -> _Gaps:
    with torch.no_grad():
        one, two = _scores(model.raw(images)), _scores(model.raw(images))
        back = _scores(model.raw(images.flip(0))).flip(0)
        alone = _scores(model.raw(images[:1].clone()))
    scale = float(one.abs().max().clamp(min=1e-6))
    return _Gaps(_gap(one, two) / scale, _gap(one, back) / scale, _gap(one[:1], alone) / scale)


def _scores(raw: Raw) -> Tensor:
    """Comparable numbers of a raw output: per row, best first for candidates, whose order and count may depend on padding."""
    if not isinstance(raw, Candidates):
        return raw.values.flatten(1).nan_to_num()
    best = raw.log_score.amax(-1).masked_fill(~raw.valid, -torch.inf).exp().nan_to_num()
    return best.sort(dim=1, descending=True).values[:, :10]


def _gap(a: Tensor, b: Tensor) -> float:
    width = min(a.shape[1], b.shape[1])
    return float((a[:, :width] - b[:, :width]).abs().max()) if width else 0.0
