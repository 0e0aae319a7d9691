"""S08: is the model a fixed function, or random, or optimised while it predicts?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.outputs import comparable, differ, gap, has_output
from robustbench_cv.types import BoxPrediction, ClassPrediction, Model, Prediction

_TITLE = "a fixed function"

_PASSES = 5
"""As AutoAttack's flag for randomised defences takes (I8)."""
_PASSES_OF_HUGE = 3

_SAME = 1e-3
_TOLERANCE = 1e-4
"""AutoAttack's bound on normalised logits (I8), here on the greatest difference over the greatest output."""


@check(
    stage="before",
    needs="s06-mutation",
    cost="passes",
    action="stop warn",
    gives="the greatest difference of the passes, calls of autograd, the samples that are answered otherwise",
)
def s08_randomness() -> Before:
    """Five passes (three where one takes long) over the same images agree, and none calls autograd: nothing is optimised there."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    model = cast("Model[Any]", subject.model)
    images, passes = (subject.few_images(1), _PASSES_OF_HUGE) if subject.is_huge else (subject.few_images(), _PASSES)
    with torch.no_grad():
        raws = [model.raw(images) for _ in range(passes)]
        predictions = [model.decode(raw) for raw in raws]
    if not any(has_output(raw) for raw in raws):
        return Finding("S08", _TITLE, "not applicable", f"no finite score and no candidate on {len(images)} images to compare")
    rows = [comparable(raw) for raw in raws]
    worst = max(gap(rows[0], row) for row in rows[1:]) / float(rows[0].abs().max().clamp(min=1e-6))
    if worst > _TOLERANCE:
        score = model.info.operating_score
        changed = sum(any(differ(first, p[i], score) for p in predictions[1:]) for i, first in enumerate(predictions[0]))
        how_many = f"{changed} of {len(images)} predictions change"
        evidence = f"{passes} passes over the same images differ by {worst:.2g} of the outputs' size; {how_many}"
        remedy = (
            "switch off what draws random numbers (dropout outside eval mode, random transforms); where randomness is the defence, draw it "
            "from the image's own content, and attack its expectation over 20 draws: a static attack on it overstates robustness"
        )
        return Finding("S08", _TITLE, "stop", evidence, remedy)
    calls = _autograd_calls(model, images[:1])
    if calls:
        evidence = f"one prediction calls autograd {calls} times: the model optimises something while it predicts"
        remedy = "an attack that does not follow that optimisation overstates robustness: unroll it, or attack without gradients as well"
        return Finding("S08", _TITLE, "warn", evidence, remedy)
    moody = _changes_its_mind(subject)
    if moody:
        evidence = f"asked twice, in the same batches, the model answers otherwise on {len(moody)} of {_asked_twice(subject)} samples"
        remedy = "let an answer depend on its image alone: no counters, no state kept between calls, no adaptation to what was seen before"
        return Finding("S08", _TITLE, "stop", f"{evidence}, first {moody[0]!r}", remedy)
    return Finding("S08", _TITLE, "pass", f"{passes} passes over {len(images)} images agree to {worst:.1g}")


def _asked_twice(subject: Preflight) -> int:
    """How many samples are predicted a second time: all, or few of large images."""
    return min(len(subject.samples), 2 if subject.is_huge else 16) if subject.is_large else len(subject.samples)


def _changes_its_mind(subject: Preflight) -> list[str]:
    """Samples that are answered otherwise a second time: few passes over few images miss a model that seldom errs, or that drifts."""
    count = _asked_twice(subject)
    again = subject.predictions(positions=range(count))
    score = subject.model.info.operating_score
    pairs = zip(subject.samples, subject.clean_predictions, again, strict=False)
    return [s.id for s, a, b in pairs if differ(a, b, score) and _apart(a, b) > _SAME]


def _apart(a: Prediction, b: Prediction) -> float:
    """How far apart two predictions are, so that a tie decided by rounding is none: of probabilities, or of the best scores."""
    if isinstance(a, ClassPrediction) and isinstance(b, ClassPrediction):
        return float((a.probs - b.probs).abs().max())
    if isinstance(a, BoxPrediction) and isinstance(b, BoxPrediction):
        most = min(10, len(a.scores), len(b.scores))
        return 1.0 if not most else float((a.scores[:most] - b.scores[:most]).abs().max())
    return 1.0


def _autograd_calls(model: Model[Any], image: Tensor) -> int:
    """How often one forward pass computes gradients of its own (I10)."""
    with _count_backward_calls() as calls:
        model.raw(image)
    return len(calls)


@contextmanager
def _count_backward_calls() -> Iterator[list[str]]:
    """torch.autograd's two ways in (Tensor.backward takes the first), noting every call."""
    calls: list[str] = []
    kept = {name: getattr(torch.autograd, name) for name in ("backward", "grad")}

    def counting(name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return kept[name](*args, **kwargs)

        return call

    for name in kept:
        setattr(torch.autograd, name, counting(name))
    try:
        yield calls
    finally:
        for name, function in kept.items():
            setattr(torch.autograd, name, function)
