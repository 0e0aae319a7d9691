"""S12: does an attack follow the function that is evaluated?"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Finding, Preflight
from robustbench_cv.types import IGNORE, BoxPrediction, Candidates, ClassPrediction, MaskPrediction, Model, Prediction, Raw, Sample, Target

_ENOUGH = 8
_STEP = 0.5 / 255


@check(stage="before")
def s12_same_function() -> Before:
    """decode() reads what raw() gives, with and without gradients alike, a gradient reaches the input, and following it pays."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    title = "attacked function = evaluated function"
    model, samples = cast("Model[Any]", subject.model), subject.samples[:_ENOUGH]
    mismatches = [s.id for s in samples if not _agrees(model, s.image.to(subject.device)[None])]
    if mismatches:
        evidence = f"{len(mismatches)} of {len(samples)} predictions do not follow from raw(), first {mismatches[0]!r}"
        return Finding("S12", title, "stop", evidence, "let decode() read raw()'s output and nothing else; no second preprocessing path")
    slopes = [_slope(model, s, subject.device) for s in samples]
    if any(s is None for s in slopes):
        return Finding(
            "S12", title, "warn", "no gradient reaches the input", "remove detach, no_grad or rounding; else use black-box attacks"
        )
    vanished = sum(s == 0 for s in slopes)
    rising = sum(s is not None and s > 0 for s in slopes)
    evidence = f"a step of 0.5/255 along the gradient lowers the score of {rising} of {len(slopes)} samples; {vanished} gradients are zero"
    if rising < len(slopes) / 2:
        verdict, remedy = ("stop", "find what stands between gradient and output (rounding, saturation, a second code path)")
        if vanished == len(slopes):
            verdict, remedy = (
                "warn",
                "every gradient is exactly zero: a white-box attack would prove nothing; use margin losses or black-box",
            )
        return Finding("S12", title, verdict, evidence, remedy)  # type: ignore[arg-type]
    return Finding("S12", title, "pass", evidence)


def _agrees(model: Model[Any], image: Tensor) -> bool:
    """Whether the prediction without gradients is that of the raw output with gradients, and follows from it."""
    with torch.no_grad():
        plain = model.decode(model.raw(image))[0]
    raw = model.raw(image.clone().requires_grad_())
    return _equal(plain, model.decode(_detached(raw))[0]) and _follows(plain, raw)


def _detached(raw: Raw) -> Raw:
    if isinstance(raw, Candidates):
        return Candidates(raw.boxes.detach(), raw.log_score.detach(), raw.valid)
    return type(raw)(raw.values.detach())


def _equal(a: Prediction, b: Prediction) -> bool:
    """Whether two predictions of one image say the same; a share of 1 % of pixels or boxes may flip by rounding."""
    if isinstance(a, ClassPrediction) and isinstance(b, ClassPrediction):
        return a.label == b.label
    if isinstance(a, MaskPrediction) and isinstance(b, MaskPrediction):
        return float((a.labels != b.labels).float().mean()) < 0.01
    if isinstance(a, BoxPrediction) and isinstance(b, BoxPrediction):
        count = min(len(a.scores), len(b.scores))
        return abs(len(a.scores) - len(b.scores)) <= 0.01 * count + 1 and torch.allclose(a.scores[:count], b.scores[:count], atol=1e-3)
    return False


def _follows(prediction: Prediction, raw: Raw) -> bool:
    if isinstance(prediction, BoxPrediction):
        assert isinstance(raw, Candidates)
        offered = raw.log_score[0][raw.valid[0]].exp().detach().cpu()
        nearest = [(offered[:, label] - score).abs().min() for score, label in zip(prediction.scores, prediction.labels, strict=True)]
        return all(float(gap) < 1e-3 for gap in nearest)
    assert not isinstance(raw, Candidates)
    best = raw.values[0].argmax(0).cpu()
    if isinstance(prediction, ClassPrediction):
        return prediction.label == int(best)
    return prediction.labels.shape == best.shape and float((prediction.labels != best).float().mean()) < 0.01


def _slope(model: Model[Any], sample: Sample, device: str) -> float | None:
    """How much a small step along the gradient lowers the score of what is right; None where there is no gradient."""
    image = sample.image.to(device)[None].clone().requires_grad_()
    score = _rightness(model.raw(image), sample.target)
    if not score.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(score, image, allow_unused=True)
    if gradient is None:
        return None
    if not bool(gradient.any()):
        return 0.0
    with torch.no_grad():
        moved = (image - _STEP * gradient.sign()).clamp(0, 1)
        return float(score.detach() - _rightness(model.raw(moved), sample.target))


def _rightness(raw: Raw, target: Target) -> Tensor:
    """A differentiable score of the right answer: log-probability of the label or pixels; log-confidence of the surest candidates."""
    if isinstance(raw, Candidates):
        best = raw.log_score[0][raw.valid[0]].amax(-1)
        return best.topk(min(5, len(best))).values.sum()
    labels = torch.as_tensor(cast(Any, target).label if raw.values.ndim == 2 else cast(Any, target).labels, device=raw.values.device)[None]
    logs = raw.values.log_softmax(1)
    scored = (labels != IGNORE) & (labels >= 0)
    return (logs.gather(1, labels.where(scored, 0)[:, None])[:, 0] * scored).sum()
