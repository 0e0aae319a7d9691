"""S04: does the model hand over raw scores, not probabilities?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.types import Candidates

_TITLE = "logits, not probabilities"
_TOLERANCE = 1e-3
_FLOOR = 0.02
"""Share of the outputs' range in which every sample's least one lies, if they are probabilities (project choice)."""
_SATURATED, _MANY = 0.95, 0.2
"""From which size on an output is at an end of [-1, 1], and the share of such that no cosines have (project choice)."""
_FAR = 100.0
"""Lead of the best score from which float32 keeps nothing of the others: exp(-100) is less than its smallest number."""


@check(
    stage="before",
    needs="s32-class-count",
    cost="passes",
    action="stop warn note",
    gives="the range of the outputs and what they sum to",
)
def s04_probabilities() -> Before:
    """Class scores must be logits: gradients through a saturated softmax vanish, and a weak attack then looks like a robust model."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    outputs = [alone.raw for alone in subject.alone]
    candidates = [o for o in outputs if isinstance(o, Candidates)]
    if candidates:
        return _of_candidates(candidates)
    rows = [o.values.movedim(1, -1).reshape(-1, o.values.shape[1]) for o in outputs if not isinstance(o, Candidates)]
    broken = sum(not bool(r.isfinite().all()) for r in rows)
    if broken:
        return _not_finite(broken, len(rows))
    return _of_scores(torch.cat(rows))


def _of_scores(rows: Tensor) -> Finding:
    """rows: (any, C)."""
    low, high = float(rows.min()), float(rows.max())
    if low >= 0 and bool(((rows.sum(-1) - 1).abs() < _TOLERANCE).all()):
        remedy = "return the scores before softmax (or their logarithm: log(p) gives the same predictions and usable gradients)"
        return Finding("S04", _TITLE, "stop", f"all outputs are at least 0 and sum to 1 (within {_TOLERANCE:g})", remedy)
    disguised = _disguised(rows)
    if disguised:
        remedy = "return the scores before softmax: gradients through a saturated softmax vanish, whatever is done to it afterwards"
        return Finding("S04", _TITLE, "stop", f"the outputs are {disguised}", remedy)
    if low >= 0 and high <= 1:
        return Finding("S04", _TITLE, "warn", "all outputs lie in [0, 1]: sigmoids?", "return the scores before the sigmoid")
    if low >= -1 and high <= 1 and float((rows.abs() > _SATURATED).float().mean()) >= _MANY:
        return Finding(
            "S04", _TITLE, "warn", "all outputs lie in [-1, 1], and many at its ends: a tanh?", "return the scores before the tanh"
        )
    lead = float((rows.double().topk(2).values @ rows.new_tensor([1.0, -1.0]).double()).median()) if rows.shape[1] > 1 else 0.0
    if lead > _FAR:
        evidence = f"the best score leads by {lead:.3g} in the median: its softmax is 1 in float32, and the gradient of its logarithm 0"
        return Finding("S04", _TITLE, "note", evidence, "divide the scores by their temperature, or attack the margin of the scores")
    if high <= 0 and bool((rows.logsumexp(-1).abs() < _TOLERANCE).all()):
        return Finding("S04", _TITLE, "note", "outputs are log-probabilities: cross-entropy and margins are those of the logits")
    return Finding("S04", _TITLE, "pass", f"outputs run from {low:.3g} to {high:.3g} and do not sum to 1")


def _disguised(rows: Tensor) -> str:
    """Probabilities after another function, by its name; empty where there is no sign of one. rows: (any, C), of more than two classes.

    Any function of probabilities leaves sums that are the same for every sample, once it is undone; logits have none.
    """
    if rows.shape[1] < 3 or len(rows) < 2 or float((rows - rows[:1]).abs().max()) < _TOLERANCE:
        return ""
    rows = rows.double()
    classes, sums, spread = rows.shape[1], rows.sum(-1), float(rows.amax() - rows.amin())
    ordered = rows.sort(dim=-1).values
    if float((ordered - ordered[:1]).abs().max()) < 1e-6 * spread:
        return "the same numbers for every sample, in another order: ranks"
    total = float(sums.mean())
    # Networks whose last layer is centred have sums of 0 too; but probabilities are bounded: 1 less the sum of the others.
    if bool(((sums - total).abs() < _TOLERANCE * spread).all()):
        for sign, name in ((1, "a scaled or shifted softmax"), (-1, "a negated softmax, such as 1 - p")):
            if _is_shifted_softmax(sign * rows):
                return name
    if bool(((rows.sigmoid().sum(-1) - 1).abs() < _TOLERANCE).all()):
        return "the logits of one-against-rest probabilities, log(p / (1 - p))"
    extra = rows.exp().sum(-1) - 1
    if bool(((extra - extra.mean()).abs() < _TOLERANCE / 10).all()) and 1e-6 < float(extra.mean()) < 0.1 * classes:
        return f"log(p + {float(extra.mean()) / classes:.2g})"
    return ""


def _is_shifted_softmax(rows: Tensor) -> bool:
    """Whether rows of one sum are a * p + b of probabilities p: every one of them reaches the least value of all."""
    low, high = float(rows.min()), float(rows.max())
    scaled = (rows - low) / max(high - low, 1e-12)
    # What is least in a row is all but 0 in a softmax, whichever the row; a centred logit's least value differs from row to row.
    floor = scaled.amin(-1)
    return float(floor.max()) < _FLOOR


def _of_candidates(outputs: Sequence[Candidates]) -> Finding:
    scores = [o.log_score[o.valid] for o in outputs]
    broken = sum(bool((s.isnan() | s.isposinf()).any()) for s in scores)
    if broken:
        return _not_finite(broken, len(scores))
    high = max((float(s.max()) for s in scores if s.numel()), default=None)
    if high is None:
        return Finding("S04", _TITLE, "not applicable", f"no candidate on {len(scores)} images")
    if high > _TOLERANCE:
        remedy = "give log_score as the log of the confidence (logsigmoid or log_softmax of the raw score), which is never above 0"
        return Finding("S04", _TITLE, "stop", f"log_score reaches {high:.3g}", remedy)
    return Finding("S04", _TITLE, "pass", f"log_score is at most {high:.3g}")


def _not_finite(broken: int, total: int) -> Finding:
    evidence = f"the outputs of {broken} of {total} images hold NaN or infinity: a run records such samples as failed"
    return Finding("S04", _TITLE, "warn", evidence, "look for a division by zero or an overflow (half precision?) in the model")
