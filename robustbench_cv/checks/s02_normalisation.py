"""S02: does the model normalise its input exactly once?"""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Change, Preflight
from robustbench_cv.checks.quality import Comparison, Quality, best, compare, measure, no_evidence
from robustbench_cv.findings import Finding

_TITLE = "normalisation"

_SCREENED = 16
"""A reading that is no better on so many samples is not tried on the others: eight readings then cost little more than one."""

_STATISTICS = {
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean and std of 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "CIFAR-10's mean and std": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}


@check(stage="before", needs="s01-range s05-mode s07-batch s08-randomness")
def s02_normalisation() -> Before:
    """Tries the usual normalisations and their inverses before the model; where one is significantly better, the declared one is wrong."""
    return _examine


def readings() -> dict[str, tuple[Change, str]]:
    """What may be wrong, by name: the change of the input that would mend it, and what to do."""
    changes: dict[str, tuple[Change, str]] = {}
    for name, (mean, std) in _STATISTICS.items():
        m, s = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
        changes[f"never normalised ({name})"] = (_normalise(m, s), f"normalise with {name} inside the model, as it was trained")
        changes[f"normalised twice ({name})"] = (_undo(m, s), f"normalise with {name} only once: in the model or in its wrapper")
    changes["divided by 255 twice, or not trained on [0, 1]"] = (
        lambda x: x * 255,
        "drop the division by 255 inside the model, or multiply by 255 there if it was trained on 0-255",
    )
    changes["multiplied by 255 inside the model"] = (lambda x: x / 255, "do not multiply by 255 inside the model")
    return changes


def _normalise(mean: Tensor, std: Tensor) -> Change:
    return lambda x: (x - mean.to(x.device)) / std.to(x.device)


def _undo(mean: Tensor, std: Tensor) -> Change:
    return lambda x: x * std.to(x.device) + mean.to(x.device)


def _examine(subject: Preflight) -> Finding:
    known = readings()
    declared = measure(subject, subject.clean_predictions)
    tried = [_try(subject, declared, name, change) for name, (change, _) in known.items()]
    better = best(tried)
    if better is not None:
        return Finding("S02", _TITLE, better.verdict, str(better), known[better.name][1], gain=better.gain)
    nothing = no_evidence(declared, tried)
    if nothing:
        return Finding("S02", _TITLE, "not applicable", nothing)
    highest = max(tried, key=lambda c: c.changed)
    return Finding("S02", _TITLE, "pass", f"none of {len(tried)} other readings is better; the best: {highest}")


def _try(subject: Preflight, declared: Quality, name: str, change: Change) -> Comparison:
    few = measure(subject, subject.predictions(change, _SCREENED))
    first = compare(name, Quality(declared.right[:_SCREENED], declared.fine[:_SCREENED], declared.skill), few)
    if first.p == 1.0 or len(subject.samples) <= _SCREENED:
        return first
    return compare(name, declared, measure(subject, subject.predictions(change)))
