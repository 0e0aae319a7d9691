"""S19: do the model's class indices mean what the data's labels mean?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from robustbench_cv import boxes
from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Finding, Preflight
from robustbench_cv.checks.quality import GAIN, SIGNIFICANT, predictions
from robustbench_cv.metrics.significance import mcnemar
from robustbench_cv.types import BoxPrediction, BoxTarget, ClassPrediction, ClassTarget, MaskPrediction, MaskTarget, Prediction, Target


class Said(NamedTuple):
    """What a model says of something whose class is known."""

    truth: int
    predicted: int


@check(stage="before")
def s19_class_order() -> Before:
    """Looks for a renaming of the predicted classes, learned on one half of the samples, that is significantly better on the other."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    title = "class order"
    said = [list(_said(p, s.target)) for p, s in zip(predictions(subject), subject.samples, strict=True)]
    pairs = [pair for found in said for pair in found]
    if len(pairs) < 8:
        return Finding("S19", title, "not applicable", f"only {len(pairs)} objects were recognised as anything", "give more samples")
    names = subject.model.info.classes.names
    right = sum(p.truth == p.predicted for p in pairs)
    renamed = _halves(said)
    wins = sum(r and p.truth != p.predicted for p, r in renamed)
    losses = sum(not r and p.truth == p.predicted for p, r in renamed)
    gain, p_value = (wins - losses) / len(renamed), mcnemar(wins, losses).one_sided if wins > losses else 1.0
    evidence = f"{right} of {len(pairs)} classes are right as declared, {right + wins - losses} after renaming (p = {p_value:.2g})"
    if gain >= GAIN and p_value < SIGNIFICANT:
        return Finding("S19", title, "stop", evidence, _remedy(_renaming(pairs), names))
    chance = 1 / len(names)
    if right / len(pairs) <= 2 * chance and len(names) > 2:
        return Finding("S19", title, "warn", f"{evidence}: no better than chance", "check weights, class names and preprocessing")
    return Finding("S19", title, "pass", evidence)


def _said(prediction: Prediction, target: Target) -> Iterator[Said]:
    if isinstance(prediction, ClassPrediction) and isinstance(target, ClassTarget):
        yield Said(target.label, prediction.label)
    elif isinstance(prediction, MaskPrediction) and isinstance(target, MaskTarget):
        for label in target.labels.unique().tolist():
            if label < 255:
                yield Said(label, int(prediction.labels[target.labels == label].mode().values))
    elif isinstance(prediction, BoxPrediction) and isinstance(target, BoxTarget) and len(prediction.boxes) and len(target.boxes):
        overlap = boxes.iou(target.boxes, prediction.boxes)
        # the surest of the boxes that overlap an object, of whatever class
        surest = torch.where(overlap >= 0.5, prediction.scores, torch.tensor(-1.0)).max(1)
        for label, score, k, crowd in zip(target.labels, surest.values, surest.indices, target.crowd, strict=True):
            if score >= 0 and not crowd:
                yield Said(int(label), int(prediction.labels[k]))


def _renaming(pairs: Sequence[Said]) -> dict[int, int]:
    """For each predicted class, the true class that it most often meets; one to one, the clearest first."""
    found: dict[int, int] = {}
    for said, _ in sorted(Counter(pairs).items(), key=lambda item: (-item[1], item[0])):
        if said.predicted not in found and said.truth not in found.values():
            found[said.predicted] = said.truth
    return found


def _halves(said: Sequence[Sequence[Said]]) -> list[tuple[Said, bool]]:
    """Each pair with whether it is right after a renaming that was learned on the other half of the samples."""
    out: list[tuple[Said, bool]] = []
    for half in (0, 1):
        learned = _renaming([p for found in said[1 - half :: 2] for p in found])
        out += [(p, learned.get(p.predicted, p.predicted) == p.truth) for found in said[half::2] for p in found]
    return out


def _remedy(renaming: dict[int, int], names: Sequence[str]) -> str:
    shifts = Counter((truth - predicted) for predicted, truth in renaming.items())
    shift, count = shifts.most_common(1)[0]
    if shift and count >= 0.7 * len(renaming):
        return f"class indices are shifted by {shift:+d}: add {shift} to the model's class indices (or mend its class names)"
    wrong = [f"{names[p]!r} means {names[t]!r}" for p, t in sorted(renaming.items()) if p != t and max(p, t) < len(names)]
    return f"class names are in another order: {'; '.join(wrong[:5])}" + (" ..." if len(wrong) > 5 else "")
