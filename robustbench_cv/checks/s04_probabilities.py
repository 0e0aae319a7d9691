"""S04: does the model hand over raw scores, not probabilities?"""

from __future__ import annotations

from typing import Any, cast

import torch

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Finding, Preflight
from robustbench_cv.types import Candidates, Model

_TOLERANCE = 1e-3
_ENOUGH = 8


@check(stage="before")
def s04_probabilities() -> Before:
    """Class scores must be logits: gradients through a saturated softmax vanish, and a weak attack then looks like a robust model."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    title = "logits, not probabilities"
    model = cast("Model[Any]", subject.model)
    with torch.no_grad():
        outputs = [model.raw(s.image.to(subject.device)[None]) for s in subject.samples[:_ENOUGH]]
    if isinstance(outputs[0], Candidates):
        high = max((float(c.log_score[c.valid].max()) for c in outputs if bool(c.valid.any())), default=0.0)
        if high > _TOLERANCE:
            remedy = "give log_score as the log of the confidence (logsigmoid or log_softmax of the raw score), which is never above 0"
            return Finding("S04", title, "stop", f"log_score reaches {high:.3g}", remedy)
        return Finding("S04", title, "pass", f"log_score is at most {high:.3g}")
    values = torch.cat([o.values.movedim(1, -1).reshape(-1, o.values.shape[1]) for o in outputs])
    sums, low = values.sum(-1), float(values.min())
    if low >= 0 and bool(((sums - 1).abs() < _TOLERANCE).all()):
        remedy = "return the scores before softmax (or their logarithm: log(p) gives the same predictions and usable gradients)"
        return Finding("S04", title, "stop", f"all outputs are at least 0 and sum to 1 (within {_TOLERANCE:g})", remedy)
    if low >= 0 and float(values.max()) <= 1:
        return Finding("S04", title, "warn", "all outputs lie in [0, 1]: sigmoids?", "return the scores before the sigmoid")
    if float(values.max()) <= 0 and bool((values.logsumexp(-1).abs() < _TOLERANCE).all()):
        return Finding("S04", title, "note", "outputs are log-probabilities: cross-entropy and margins are those of the logits")
    return Finding("S04", title, "pass", f"outputs run from {low:.3g} to {float(values.max()):.3g} and do not sum to 1")
