"""S19: do the model's class indices mean what the data's labels mean?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy
import torch

from robustbench_cv import boxes
from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.class_orders import Said, cross_renamed, known_orders, learned_order, renamed
from robustbench_cv.checks.compare_readings import VISIBLE, Comparison, Quality, beyond_chance, compare, no_evidence
from robustbench_cv.checks.fixes import fix_of_order
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
_MOVED = 0.4
"""By how much the classes that a learned order renames must be better recognised under it to stop a run: of two exchanged classes nearly
all are, of two that a poor model confuses some (project choice)."""
_LOOKS = 2


@check(
    stage="before",
    needs="s32-class-count",
    cost="search",
    action="stop warn",
    gives="the share that is right as declared and in the other order, its p-value, and what each name means",
)
def s19_class_order() -> Before:
    """Tries rotated and sorted class indices, and the order that three quarters of the samples speak for, on the other quarter."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    names = subject.model.info.classes.names
    if len(names) < 2:
        return Finding("S19", _TITLE, "not applicable", "one class has no order")
    said = _of_samples(subject)
    if sum(map(len, said)) < _FEW:
        return Finding("S19", _TITLE, "not applicable", f"only {sum(map(len, said))} objects were recognised as anything")
    tried = _tried(said, names)
    better = _best(tried)
    if better is None and _is_open(said, len(names)) and subject.wider is not subject:
        said = _of_samples(subject.wider)
        tried = _tried(said, names)
        better = _best(tried)
    pairs = [pair for of_sample in said for pair in of_sample]
    declared = _quality(said)
    evidence = f"{declared.right.mean():.1%} of {len(pairs)} classes are right as declared"
    if better is not None:
        finding = _accuse(better, evidence, said, names)
        order = learned_order(pairs, len(names)) if better.name == _LEARNED else known_orders(names)[better.name]
        is_certain = finding.verdict == "stop"
        return replace(finding, fix=fix_of_order(order, subject.class_map, names)) if is_certain else finding
    nothing = no_evidence(declared, tried)
    if nothing:
        return Finding("S19", _TITLE, "not applicable", nothing)
    return Finding("S19", _TITLE, "pass", f"{evidence}; no other order of the classes is better")


def _of_samples(subject: Preflight) -> list[list[Said]]:
    """What is said of the samples of which anything is."""
    told = (list(_said(p, s.target)) for p, s in zip(subject.clean_predictions, subject.samples, strict=True))
    return [of_sample for of_sample in told if of_sample]


def _tried(said: Sequence[Sequence[Said]], names: Sequence[str]) -> list[Comparison]:
    """The known order that is right most often, and the learned one, p-values corrected for all that were looked at."""
    orders, declared = known_orders(names), _quality(said)
    pairs = [pair for of_sample in said for pair in of_sample]
    truth, predicted = numpy.array([p for p in pairs if 0 <= p.predicted < len(names)] or [Said(0, 0)]).T
    first = max(orders, key=lambda name: int((orders[name][predicted] == truth).sum()), default="")
    known = [compare(first, declared, _quality([renamed(s, orders[first]) for s in said]))] if first else []
    learned = compare(_LEARNED, declared, _quality(cross_renamed(said, len(names))))
    # The learned order is one trial of its own: half of the error is its, so that a thousand rotations cost it nothing.
    return [replace(c, p=min(1.0, c.p * _LOOKS * 2 * (1 if c is learned else len(orders)))) for c in (*known, learned)]


_LEARNED = "renamed"


def _best(tried: Sequence[Comparison]) -> Comparison | None:
    """The best of those that are better; the known order where the learned one is no more right than it."""
    better = [c for c in tried if c.is_better]
    top = max((c.changed for c in better), default=0.0)
    return next((c for c in better if c.changed > top - VISIBLE), None)


def _is_open(said: Sequence[Sequence[Said]], classes: int) -> bool:
    """Whether more samples may find an order better: on these, the order learned on all of them is."""
    order = learned_order([pair for of_sample in said for pair in of_sample], classes)
    return float((_quality([renamed(s, order) for s in said]).right - _quality(said).right).mean()) >= VISIBLE


def _accuse(better: Comparison, evidence: str, said: Sequence[Sequence[Said]], names: Sequence[str]) -> Finding:
    if better.name.lstrip("+-").isdigit():
        return _shifted(better, evidence, names)
    if better.name != _LEARNED:
        evidence = f"{evidence}, {better.changed:.1%} in another order (p = {better.p:.2g})"
        remedy = "class indices are reversed" if better.name == "reversed" else better.name
        return Finding("S19", _TITLE, better.verdict, evidence, f"{remedy}: give both sides one list of names", gain=better.gain)
    evidence = f"{evidence}, {better.changed:.1%} after renaming (p = {better.p:.2g})"
    pairs = [pair for of_sample in said for pair in of_sample]
    order = learned_order(pairs, len(names))
    wrong = [f"{names[p]!r} means {names[t]!r}" for p, t in enumerate(order) if p != t]
    shown = "; ".join(wrong[:5]) + (" ..." if len(wrong) > 5 else "")
    moved = [p for p in pairs if p.truth < len(order) and order[p.truth] != p.truth]
    mended = numpy.mean([p.truth == p.predicted for p in renamed(moved, order)]) - numpy.mean([p.truth == p.predicted for p in moved])
    if mended < _MOVED:
        return Finding("S19", _TITLE, "warn", evidence, f"the model confuses classes, or some names are wrong: {shown}", gain=better.gain)
    return Finding("S19", _TITLE, better.verdict, evidence, f"class names are in another order: {shown}", gain=better.gain)


def _shifted(better: Comparison, evidence: str, names: Sequence[str]) -> Finding:
    shift = int(better.name)
    evidence = f"{evidence}, {better.changed:.1%} with indices shifted by {shift:+d} (p = {better.p:.2g})"
    what = f"subtract {-shift} from" if shift < 0 else f"add {shift} to"
    why = {-1: " (a class for the background in front?)", 1: " (was a first class left out?)"}.get(shift, f" (modulo {len(names)})")
    where = f"{abs(shift)} too {'high' if shift < 0 else 'low'}{why}"
    remedy = f"the model's class indices are {where}: {what} them, or mend its class names"
    return Finding("S19", _TITLE, better.verdict, evidence, remedy, gain=better.gain)


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
