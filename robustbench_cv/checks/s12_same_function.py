"""S12: does an attack follow the function that is evaluated?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import After, Before, Preflight
from robustbench_cv.findings import Finding, Verdict
from robustbench_cv.results import Results
from robustbench_cv.types import (
    IGNORE,
    BoxPrediction,
    Candidates,
    ClassPrediction,
    ClassTarget,
    MaskPrediction,
    MaskTarget,
    Model,
    Prediction,
    Raw,
    Sample,
    Target,
)

_TITLE = "attacked function = evaluated function"
_ENOUGH = 8
_STEP = 1 / 255
Slope = Literal["none", "zero", "flat", "falls", "misleads"]
"""What the gradient of the right score is worth: there is none, it is exactly zero, what it promises is lost in rounding, a step against
it lowers the score, or does not."""

_GRADIENT = "remove detach, no_grad and rounding between image and scores, or use attacks that need no gradient"


@check(stage="before", needs="s01-range s05-mode")
def s12_same_function() -> Before:
    """decode() reads what raw() gives, with and without gradients alike, a gradient reaches the input, and following it pays."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    model, samples = cast("Model[Any]", subject.model), subject.samples[:_ENOUGH]
    images = [s.image.to(subject.device)[None] for s in samples]
    stray = [s.id for s, x in zip(samples, images, strict=True) if not _decodes_raw(model, x)]
    if stray:
        evidence = f"{len(stray)} of {len(samples)} predictions do not follow from what raw() returned, first {stray[0]!r}"
        return Finding("S12", _TITLE, "stop", evidence, "let decode() read raw()'s output and nothing else: no second path to a prediction")
    differing = [s.id for s, x in zip(samples, images, strict=True) if not _same_with_gradients(model, x)]
    if differing:
        evidence = f"{len(differing)} of {len(samples)} raw outputs differ when gradients are recorded, first {differing[0]!r}"
        remedy = "an attack would follow another function: let raw() do the same in both cases, preprocessing included"
        return Finding("S12", _TITLE, "stop", evidence, remedy)
    return _of_slopes([_slope(model, s, x) for s, x in zip(samples, images, strict=True)])


def _of_slopes(slopes: Sequence[Slope]) -> Finding:
    total, zero, falls, misleads = len(slopes), slopes.count("zero"), slopes.count("falls"), slopes.count("misleads")
    if "none" in slopes:
        return Finding("S12", _TITLE, "warn", "no gradient reaches the image: white-box attacks cannot run", _GRADIENT)
    if zero == total:
        evidence = f"every gradient is exactly zero on {total} images: a white-box attack would prove nothing"
        return Finding("S12", _TITLE, "warn", evidence, _GRADIENT)
    evidence = f"a step of 1/255 along the gradient lowers the right score of {falls} of {total} images; {zero} gradients are zero"
    if misleads > falls:
        remedy = "the gradient points elsewhere: look for a backward pass of one's own (straight-through, custom autograd) or a second path"
        return Finding("S12", _TITLE, "stop", evidence, remedy)
    return Finding("S12", _TITLE, "pass", evidence)


def _decodes_raw(model: Model[Any], image: Tensor) -> bool:
    """Whether the prediction can be read from the raw output: its best class, or scores among the candidates'."""
    with torch.no_grad():
        raw = model.raw(image)
        return _follows(model.decode(raw)[0], raw)


def _follows(prediction: Prediction, raw: Raw) -> bool:
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


def _same_with_gradients(model: Model[Any], image: Tensor) -> bool:
    with torch.no_grad():
        plain = model.raw(image)
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


def _slope(model: Model[Any], sample: Sample, image: Tensor) -> Slope:
    image = image.clone().requires_grad_()
    score = _rightness(model.raw(image), sample.target)
    if not score.requires_grad:
        return "none"
    # Materialised: an image that the score does not use has gradient zero.
    (gradient,) = torch.autograd.grad(score, image, allow_unused=True, materialize_grads=True)
    if not bool(gradient.any()):
        return "zero"
    with torch.no_grad():
        moved = (image - _STEP * gradient.sign()).clamp(0, 1)
        promised = float(((image - moved) * gradient).sum())
        fall = float(score.detach() - _rightness(model.raw(moved), sample.target))
    rounding = 1e-5 * (1 + abs(float(score.detach())))
    return "falls" if fall > 0 else "flat" if promised < rounding else "misleads"


def _rightness(raw: Raw, target: Target) -> Tensor:
    """A differentiable score of the right answer: log-probability of the label or pixels; log of all candidates' confidence."""
    if isinstance(raw, Candidates):
        # Over all candidates, smoothly: among equals a step only decides which of them is the surest.
        return raw.log_score[0][raw.valid[0]].logsumexp((0, 1))
    labels = torch.tensor(target.label) if isinstance(target, ClassTarget) else cast(MaskTarget, target).labels
    labels = labels.to(raw.values.device)[None]
    logs = raw.values.log_softmax(1)
    scored = (labels != IGNORE) & (labels >= 0) & (labels < logs.shape[1])
    return (logs.gather(1, labels.where(scored, 0)[:, None])[:, 0] * scored).sum()


@check(stage="after")
def s12_gradients() -> After:
    """Refuses an attack to which every gradient was exactly zero: it changed nothing, and its number is the clean one in disguise."""
    return lambda aftermath: list(_after(aftermath.results)) or [Finding("S12", _TITLE, "not applicable", "no attack used gradients")]


def _after(results: Results) -> Iterator[Finding]:
    for group in results.groups():
        for condition in results.conditions(group.task, "attack"):
            cost = results.cost(group, condition.name)
            if cost is None or cost.backwards == 0:
                continue
            where = (group.model, group.dataset, condition.name)
            evidence = f"every gradient was exactly zero for {cost.zero_grads:.1%} of the images"
            verdict, remedy = _judge(cost.zero_grads)
            yield Finding("S12", _TITLE, verdict, evidence, remedy, *where)


def _judge(zero_grads: float) -> tuple[Verdict, str]:
    if zero_grads > 0.9:
        return "stop", f"the attack had nothing to follow: {_GRADIENT}"
    if zero_grads > 0.05:
        return "warn", "the number may flatter the model: try a margin loss (dlr) or an attack that needs no gradient as well"
    return "pass", ""
