"""S07: does a prediction depend on the other images of its batch?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.half_precision import Float64
from robustbench_cv.checks.outputs import comparable, differ, gap, has_output
from robustbench_cv.types import Model, Raw

_TITLE = "a prediction is its image's own"
_TOLERANCE = 0.01
"""Difference from which on an output is another one, over the greatest output: batches of another size round otherwise (project choice)."""
_EXACT = 1e-6
"""The same in float64, where rounding hardly ever decides anything: comparisons are of float32 numbers."""


@check(
    stage="before",
    needs="s08-randomness",
    cost="passes",
    action="stop",
    gives="the greatest difference over the greatest output, and how many predictions change",
)
def s07_batch() -> Before:
    """The outputs of up to eight images agree alone, together, and (of more than two) together in reverse order."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    model, images = cast("Model[Any]", subject.model), subject.few_images()
    if not any(has_output(alone.raw) for alone in subject.alone):
        return Finding("S07", _TITLE, "not applicable", f"no finite score and no candidate on {len(images)} images to compare")
    worst, changed = _difference(model, images, [alone.raw for alone in subject.alone])
    if worst <= _TOLERANCE:
        how = "alone, together and reversed" if len(images) > 2 else "alone and together"
        return Finding("S07", _TITLE, "pass", f"{len(images)} images {how} agree to {worst:.1g} of the outputs' size")
    exact = _exact_difference(model, images)
    if exact <= _EXACT and changed == 0:
        evidence = f"alone and in a batch, outputs differ by {worst:.2g} of their size in float32 and by {exact:.1g} in float64: rounding"
        return Finding("S07", _TITLE, "pass", f"{evidence} decides a branch, such as a pooling switch; no prediction changes")
    # Not a warning: broken samples leave an attack's batch, and with them the function would change under it.
    evidence = (
        f"the same image alone and in a batch differs by {worst:.2g} of the outputs' size; "
        f"{changed} of {len(images)} predictions ({changed / len(images):.0%}) change"
    )
    remedy = "a prediction must not depend on the rest of its batch: normalise with running statistics, not with the batch's"
    return Finding("S07", _TITLE, "stop", evidence, remedy)


def _difference(model: Model[Any], images: Tensor, alone: Sequence[Raw]) -> tuple[float, int]:
    """The greatest difference over the greatest output, and how many predictions change."""
    with torch.no_grad():
        together = model.raw(images)
        back = comparable(model.raw(images.flip(0))).flip(0) if len(images) > 2 else comparable(together)
        # A decode that does not go by its argument is S12's business, and may give any number of predictions.
        predictions = zip(model.decode(together), [model.decode(raw)[0] for raw in alone], strict=False)
        score = model.info.operating_score
        changed = sum(differ(a, b, score) for a, b in predictions)
    rows = comparable(together)
    single = max(gap(rows[i : i + 1], comparable(raw)) for i, raw in enumerate(alone))
    return max(gap(rows, back), single) / float(rows.abs().max().clamp(min=1e-6)), changed


def _exact_difference(model: Model[Any], images: Tensor) -> float:
    """The difference in float64; infinite where the model cannot be copied or does not compute in it."""
    try:
        exact = cast("Model[Any]", Float64(model))
        with torch.no_grad():
            alone = [exact.raw(image[None]) for image in images]
        return _difference(exact, images, alone)[0]
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError):
        return math.inf
