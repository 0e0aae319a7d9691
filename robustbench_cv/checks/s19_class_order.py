"""S19: do the model's class indices mean what the data's labels mean?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy
import torch

from robustbench_cv import boxes
from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.quality import Comparison, Quality, best, beyond_chance, compare, no_evidence
from robustbench_cv.findings import Finding
from robustbench_cv.types import (
    IGNORE,
    BoxPrediction,
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    MaskPrediction,
    MaskTarget,
    Prediction,
    Target,
)

_TITLE = "class order"
_FEW = 8
_RENAMED = 0.15
"""Share of the classes that a learned renaming must mend to stop a run: a poor model may always confuse two (project choice)."""


class Said(NamedTuple):
    """What a model says of something whose class is known."""

    truth: int
    predicted: int


Renaming = Callable[[int], int]


@check(stage="before", needs="s01-range s05-mode s07-batch s08-randomness")
def s19_class_order() -> Before:
    """Tries shifted class indices, and a renaming learned on one half of the samples, which must be significantly better on the other."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    said = [of_sample for p, s in zip(subject.clean_predictions, subject.samples, strict=True) if (of_sample := list(_said(p, s.target)))]
    pairs = [pair for of_sample in said for pair in of_sample]
    if len(pairs) < _FEW:
        return Finding("S19", _TITLE, "not applicable", f"only {len(pairs)} objects were recognised as anything")
    names = subject.model.info.classes.names
    if len(names) < 2:
        return Finding("S19", _TITLE, "not applicable", "one class has no order")
    declared = _quality(said)
    shifts = {f"{d:+d}": compare(f"{d:+d}", declared, _quality(_rename(said, _shift(d, len(names))))) for d in (1, -1)}
    learned = compare("renamed", declared, _quality(_cross_renamed(said)))
    tried = [*shifts.values(), learned]
    better = best(tried)
    evidence = f"{declared.right.mean():.1%} of {len(pairs)} classes are right as declared"
    if better is not None:
        return _accuse(better, evidence, pairs, names)
    nothing = no_evidence(declared, tried)
    if nothing:
        return Finding("S19", _TITLE, "not applicable", nothing)
    return Finding("S19", _TITLE, "pass", f"{evidence}; no other order of the classes is better")


def _accuse(better: Comparison, evidence: str, pairs: Sequence[Said], names: Sequence[str]) -> Finding:
    if better.name != "renamed":
        shift = int(better.name)
        evidence = f"{evidence}, {better.changed:.1%} with indices shifted by {shift:+d} (p = {better.p:.2g})"
        what = "subtract 1 from" if shift < 0 else "add 1 to"
        where = "1 too high (a class for the background in front?)" if shift < 0 else "1 too low (was a first class left out?)"
        remedy = f"the model's class indices are {where}: {what} them, or mend its class names"
        return Finding("S19", _TITLE, better.verdict, evidence, remedy, gain=better.gain)
    evidence = f"{evidence}, {better.changed:.1%} after renaming (p = {better.p:.2g})"
    renaming = _learn_renaming(pairs)
    wrong = [f"{names[p]!r} means {names[t]!r}" for p, t in sorted(renaming.items()) if p != t and max(p, t) < len(names)]
    shown = "; ".join(wrong[:5]) + (" ..." if len(wrong) > 5 else "")
    if better.gain < _RENAMED:
        return Finding("S19", _TITLE, "warn", evidence, f"the model confuses classes, or some names are wrong: {shown}", gain=better.gain)
    return Finding("S19", _TITLE, "stop", evidence, f"class names are in another order: {shown}", gain=better.gain)


def _said(prediction: Prediction, target: Target) -> Iterator[Said]:
    if isinstance(prediction, ClassPrediction) and isinstance(target, ClassTarget):
        yield Said(target.label, prediction.label)
    elif isinstance(prediction, MaskPrediction) and isinstance(target, MaskTarget):
        for label in sorted(set(target.labels.flatten().tolist())):
            if label != IGNORE:
                yield Said(label, int(prediction.labels[target.labels == label].mode().values))
    elif isinstance(prediction, BoxPrediction) and isinstance(target, BoxTarget) and len(prediction.boxes) and len(target.boxes):
        overlap = boxes.iou(target.boxes, prediction.boxes)
        # the surest of the boxes that overlap an object, of whatever class
        surest = torch.where(overlap >= 0.5, prediction.scores, torch.tensor(-1.0)).max(1)
        for label, score, k, crowd in zip(target.labels, surest.values, surest.indices, target.crowd, strict=True):
            if score >= 0 and not crowd:
                yield Said(int(label), int(prediction.labels[k]))


def _quality(said: Sequence[Sequence[Said]]) -> Quality:
    """Share of right classes of each sample, and the skill over all of them."""
    right = numpy.array([numpy.mean([p.truth == p.predicted for p in of_sample]) for of_sample in said])
    truth, predicted = torch.tensor([pair for of_sample in said for pair in of_sample]).T
    return Quality(right, right, beyond_chance([(truth, predicted)], len(said)))


def _shift(by: int, classes: int) -> Renaming:
    return lambda predicted: (predicted + by) % classes


def _rename(said: Sequence[Sequence[Said]], renaming: Renaming) -> list[list[Said]]:
    return [[Said(p.truth, renaming(p.predicted)) for p in of_sample] for of_sample in said]


def _cross_renamed(said: Sequence[Sequence[Said]]) -> list[list[Said]]:
    """Every sample after a renaming that was learned on the other half of the samples."""
    out: list[list[Said]] = [[] for _ in said]
    for half in (0, 1):
        learned = _learn_renaming([p for of_sample in said[1 - half :: 2] for p in of_sample])
        out[half::2] = _rename(said[half::2], lambda predicted, learned=learned: learned.get(predicted, predicted))  # type: ignore[misc]
    return out


def _learn_renaming(pairs: Sequence[Said]) -> dict[int, int]:
    """For each predicted class, the true class that it most often meets; one to one, the commonest pair first."""
    truth_of: dict[int, int] = {}
    for said, _ in sorted(Counter(pairs).items(), key=lambda item: (-item[1], item[0])):
        if said.predicted not in truth_of and said.truth not in truth_of.values():
            truth_of[said.predicted] = said.truth
    return truth_of
