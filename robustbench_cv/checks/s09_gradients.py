"""S09: is there a gradient, and is it the slope of the function that it is said to be?"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.adversary.attack import Attack, aim_of
from robustbench_cv.adversary.objectives.classification import margin
from robustbench_cv.adversary.victim import frozen_eval
from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks import gradient_check
from robustbench_cv.checks.check import Before, OfAttack, Preflight
from robustbench_cv.checks.checked_attack import Attacked
from robustbench_cv.checks.gradient_check import NONE, Slopes
from robustbench_cv.checks.outputs import has_output
from robustbench_cv.types import IGNORE, Candidates, ClassTarget, Logits, MaskTarget, Model, Raw, Sample, Target

_TITLE = "gradients are the function's slope"

FEW_ZEROS = 0.05
"""Share of samples without any gradient from which on an attack's number is marked (project choice: I7 marks at any)."""

MOST_ZEROS = 0.9
"""Share from which on it is blocked: the attack changed nothing, and its number is the clean one in disguise (project choice)."""

REMEDY = "remove detach, no_grad and rounding between image and scores (or give the rounding a straight-through gradient), or use attacks "
REMEDY += "that need no gradient"


@check(
    stage="before",
    needs="s12-same-function",
    cost="gradients",
    action="stop warn",
    gives="directions in which finite differences have the gradient's sign, and gradients that are zero",
)
def s09_gradients() -> Before:
    """A gradient reaches the input, is not zero, and finite differences have its sign."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    model = cast("Model[Any]", subject.model)
    asked = zip(subject.few, subject.few_images(), subject.alone, strict=True)
    samples = [(s, x[None]) for s, x, alone in asked if has_output(alone.raw)]
    if not samples:
        return Finding("S09", _TITLE, "not applicable", "nothing to compare: no finite score and no candidate on any image")
    with frozen_eval(model):
        slopes = [_slopes(model, s, x) for s, x in samples]
    if any(f is None for f in slopes):
        return Finding("S09", _TITLE, "warn", "no gradient reaches the image: white-box attacks cannot run", REMEDY)
    total = sum((f for f in slopes if f is not None), NONE)
    if total.zero == total.samples:
        evidence = f"every gradient is exactly zero on {total.samples} images: a white-box attack would prove nothing"
        return Finding("S09", _TITLE, "warn", evidence, REMEDY)
    if total.tried == 0:
        return Finding("S09", _TITLE, "not applicable", f"{_NO_DIRECTION} ({total.zero} of {total.samples} gradients are zero)")
    evidence = f"{_agreement(total)}; {total.zero} of {total.samples} gradients are zero"
    return Finding("S09", _TITLE, "stop", evidence, _MISLEADING) if total.misleads else Finding("S09", _TITLE, "pass", evidence)


_NO_DIRECTION = "nothing to compare: no gradient promises a change above rounding"

_MISLEADING = "the gradient points elsewhere: look for a backward pass of one's own (straight-through, custom autograd) or a second path"


def _agreement(slopes: Slopes) -> str:
    return f"finite differences have the gradient's sign in {slopes.agree} of {slopes.tried} directions"


def _slopes(model: Model[Any], sample: Sample, image: Tensor) -> Slopes | None:
    leaf = image.clone().requires_grad_()
    score = _rightness(model.raw(leaf), sample.target)
    gradient = _gradient(score, leaf)
    return None if gradient is None else gradient_check.measure(lambda x: _rightness(model.raw(x), sample.target)[None], image, gradient)


def _gradient(value: Tensor, leaf: Tensor) -> Tensor | None:
    """None where no path leads to the leaf, also where weights that the model does not register ask for gradients behind the cut."""
    return torch.autograd.grad(value, leaf, allow_unused=True)[0] if value.requires_grad else None


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


@check(
    stage="attack",
    cost="gradients",
    action="stop warn",
    gives="the same of the attack's own objective, and the share of its images whose every gradient was zero",
)
def s09_attack_gradients() -> OfAttack:
    """Of an attack that follows gradients: those of its own objective at the samples it did not break, against finite differences."""
    return _of_attack


def _of_attack(subject: Attacked) -> Finding:
    if subject.no_gradient:
        return Finding("S09", _TITLE, "stop", "the model lets no gradient through, so the attack could not run", REMEDY)
    if subject.backwards == 0:
        return Finding("S09", _TITLE, "not applicable", "the attack uses no gradient")
    measured = [_measure(subject, part) for part in subject.parts] if subject.survivors else []
    best = min((m for m in measured if m is not None), key=lambda m: m.zero, default=None)
    # A gradient that another loss has was lost to the loss, not in the model: S10 speaks of that.
    if is_saturated(subject) or subject.zero <= FEW_ZEROS:
        if best is None or best.tried == 0:
            return Finding("S09", _TITLE, "not applicable", "no survivor to try" if best is None else _NO_DIRECTION)
        if not best.misleads:
            return Finding("S09", _TITLE, "pass", _agreement(best))
        return Finding("S09", _TITLE, "stop", _agreement(best), _MISLEADING)
    evidence = f"every gradient was exactly zero for {subject.zero:.1%} of the images"
    return Finding("S09", _TITLE, "stop" if subject.zero > MOST_ZEROS else "warn", evidence, REMEDY)


def is_saturated(subject: Attacked) -> bool:
    """Whether the attack's loss has lost gradients on survivors that the margin of the logits has: float32 softmax at gaps above 100."""
    if subject.task != "classification" or not subject.survivors or subject.backwards == 0 or subject.no_gradient:
        return False
    slopes = [_measure(subject, part) for part in subject.parts if part.accepts is Logits]
    lost = min((f.zero for f in slopes if f is not None), default=0)
    if lost == 0:
        return False
    by_margin = _measure(subject, subject.parts[0], margin_instead=True)
    return by_margin is not None and by_margin.zero < lost


def _measure(subject: Attacked, part: Attack[Any, Any], *, margin_instead: bool = False) -> Slopes | None:
    """Slopes of a part's objective at the clean survivors; None where it gives no gradient."""
    key = ("slopes", part.objective.name, margin_instead)
    if key not in subject.measurements:
        subject.measurements[key] = _measure_slopes(subject, part, margin() if margin_instead else part.objective)
    return cast("Slopes | None", subject.measurements[key])


def _measure_slopes(subject: Attacked, part: Attack[Any, Any], objective: Any) -> Slopes | None:
    model, total = cast("Model[Any]", subject.model), NONE
    for chunk in subject.chunks(subject.survivors):
        images = torch.stack([s.image for s in chunk]).to(subject.device)
        goals = aim_of(part, model, images, [s.target for s in chunk]).goals
        with frozen_eval(model):
            leaf = images.clone().requires_grad_()
            values = objective(model.raw(leaf), goals)
            gradient = _gradient(values.sum(), leaf)
            if gradient is None:
                return None
            total += gradient_check.measure(lambda x, g=goals: objective(model.raw(x), g), images, gradient)  # type: ignore[misc]
    return total
