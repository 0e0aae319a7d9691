"""S12: does an attack follow the function that is evaluated?"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.outputs import has_output, nothing_reported
from robustbench_cv.types import BoxPrediction, Candidates, ClassPrediction, MaskPrediction, Model, Prediction, Raw

_TITLE = "attacked function = evaluated function"


@check(
    stage="before",
    needs="s32-class-count",
    cost="gradients",
    action="stop",
    gives="how many predictions do not follow from raw(), differ with gradients, or come from memory, the first by id",
)
def s12_same_function() -> Before:
    """decode() reads what raw() gives, and raw() gives the same with and without gradients."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    model, samples = cast("Model[Any]", subject.model), subject.few
    asked = [(s, x[None], alone) for s, x, alone in zip(samples, subject.few_images(), subject.alone, strict=True)]
    stray = [s.id for s, _, alone in asked if not _follows(alone.prediction, alone.raw)]
    if stray:
        evidence = f"{len(stray)} of {len(samples)} predictions do not follow from what raw() returned, first {stray[0]!r}"
        return Finding("S12", _TITLE, "stop", evidence, "let decode() read raw()'s output and nothing else: no second path to a prediction")
    differing = [s.id for s, x, alone in asked if not _same_with_gradients(model, x, alone.raw)]
    if differing:
        evidence = f"{len(differing)} of {len(samples)} raw outputs differ when gradients are recorded, first {differing[0]!r}"
        remedy = "an attack would follow another function: let raw() do the same in both cases, preprocessing included"
        return Finding("S12", _TITLE, "stop", evidence, remedy)
    remembered = [s.id for s, x, alone in asked if _answers_from_memory(model, x, alone.raw)]
    if remembered:
        evidence = (
            f"{len(remembered)} of {len(samples)} raw outputs are the same to the last bit after noise of 8/255, first {remembered[0]!r}"
        )
        remedy = "compute every answer from its own pixels: a cache of what looks alike hides from attacks what the model itself would say"
        return Finding("S12", _TITLE, "stop", evidence, remedy)
    if not any(has_output(alone.raw) for alone in subject.alone):
        return Finding("S12", _TITLE, "not applicable", f"no finite score and no candidate on {len(samples)} images to compare")
    if nothing_reported(alone.prediction for alone in subject.alone):
        evidence = f"{len(samples)} raw outputs are alike with and without gradients; no box was decoded from them"
        return Finding("S12", _TITLE, "pass", evidence)
    return Finding("S12", _TITLE, "pass", f"{len(samples)} predictions follow from raw(), with and without gradients alike")


def _follows(prediction: Prediction, raw: Raw) -> bool:
    """Whether the prediction can be read from the raw output: its best class, or scores among the candidates'."""
    if isinstance(raw, Candidates):
        assert isinstance(prediction, BoxPrediction)
        offered = raw.log_score[0][raw.valid[0]].exp().cpu()
        nearest = [(offered[:, label] - score).abs().min() for score, label in zip(prediction.scores, prediction.labels, strict=True)]
        return all(float(gap) < 1e-3 for gap in nearest)
    values = raw.values[0].cpu()
    if not bool(values.isfinite().all()):
        return True  # S04 speaks of these
    if isinstance(prediction, ClassPrediction):
        return float(values.max() - values[prediction.label]) <= 1e-4 * (1 + float(values.abs().max()))
    assert isinstance(prediction, MaskPrediction)
    best = values.argmax(0)
    return prediction.labels.shape == best.shape and float((prediction.labels != best).float().mean()) < 0.01


def _answers_from_memory(model: Model[Any], image: Tensor, raw: Raw) -> bool:
    """Whether an image with noise all over it gets the very numbers of the image itself, and another image gets others."""
    sign = torch.randint(0, 2, image.shape, generator=torch.Generator().manual_seed(0)).to(image) * 2 - 1
    plain = _tensors(raw)
    if not any(bool(t.isfinite().any()) and bool((t != 0).any()) for t in plain) or all(map(_is_rounded, plain)):
        return False
    with torch.no_grad():
        if not _identical(plain, _tensors(model.raw((image + 8 / 255 * sign).clamp(0, 1)))):
            return False
        return not _identical(plain, _tensors(model.raw(1 - image)))


def _is_rounded(scores: Tensor) -> bool:
    """Whether scores have three digits after the point at most: such come out equal for images that differ."""
    scores = scores.double().nan_to_num()
    return bool(((1000 * scores - (1000 * scores).round()).abs() <= 1e-3 + 1e-4 * scores.abs()).all())


def _identical(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(some, others, strict=True))


def _same_with_gradients(model: Model[Any], image: Tensor, plain: Raw) -> bool:
    followed = model.raw(image.clone().requires_grad_())
    return all(_close(a, b) for a, b in zip(_tensors(plain), _tensors(followed), strict=True))


def _tensors(raw: Raw) -> list[Tensor]:
    """What must not change: scores, those of the surest candidates where some may differ by rounding."""
    if not isinstance(raw, Candidates):
        return [raw.values.detach()]
    confidence = torch.where(raw.valid[..., None], raw.log_score.detach().exp(), 0).amax(-1)
    return [confidence.sort(dim=1, descending=True).values[:, :20]]


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    a, b = a.nan_to_num(), b.nan_to_num()
    return a.numel() == 0 or float((a - b).abs().max()) <= 1e-3 * max(1e-3, float(a.abs().max()))
