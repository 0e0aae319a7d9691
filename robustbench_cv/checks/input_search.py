"""Is there a change of the input under which the model is significantly better? A search over a family, with its multiplicity paid for.

Cheap first. A member is first tried on a few of the samples that leave most to gain (a classifier's mistakes), and dropped where it makes
almost none of them better. What survives meets all 64 samples, and is left as soon as it could not become significant even if it won
everything that is left (which can only lose findings that there are not). Where these do not decide, the most promising members meet the
reserve as well, up to 512. Every p-value is multiplied by twice the number of the usual members of *all* input
families, or of the others, and by the two looks (Bonferroni, half of the error for each kind), whether or not a member got so far: what
is dropped early can then never make a false claim likelier. Samples on which the model gives NaN or infinity are left out, and so is a
member whose images the model refuses: neither says how images should reach it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy

from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.best_threshold import measure_ranking
from robustbench_cv.checks.check import Preflight
from robustbench_cv.checks.compare_readings import GAIN, Comparison, Quality, compare, compare_finely, measure, no_evidence
from robustbench_cv.checks.fixes import fix_of_input
from robustbench_cv.checks.input_geometry import as_it_is, sizes, symmetries
from robustbench_cv.checks.transform_families import Member, colours, values
from robustbench_cv.errors import RobustBenchError
from robustbench_cv.tasks import Task
from robustbench_cv.types import Prediction

_LOOKS = 2
_PROBES = ((12, 2),)
_PROBES_OF_LARGE = ((4, 1), (12, 3))
"""Samples on which a change is first tried, and how many of them it must make better to be tried on more (project choice; a remedy mends
most mistakes); of large images in two steps."""
_PROBES_OF_HUGE = ((1, 1), (2, 2), (6, 5))
"""Where a pass takes longest, and only the usual mistakes are tried."""
_FULL_OF_LARGE = 4
"""Members that meet all samples at most, of large images: those that did best on the few (project choice)."""
_AT_ONCE = 16
"""Samples that a member meets between two looks at whether anything can come of it (project choice)."""
_FINALISTS, _FEW_FINALISTS = 5, 2
"""Members that meet the reserve, and of large images (project choice)."""


class Trial(NamedTuple):
    """A member, how it compared, and its predictions by the position of the sample. is_full: it met all samples.

    promise: by how much quality rose, the mean over the samples that were met; None where nothing can come of it. refused: the model raised
    on the changed images.
    """

    member: Member
    comparison: Comparison
    said: Mapping[int, Prediction] = {}
    is_full: bool = False
    promise: float | None = None
    refused: bool = False


@dataclass(frozen=True)
class Searched:
    """What a search found. tried: p-values are corrected. found: the best significant member, if any, and `member`, which it compares.

    samples: how many decided. refused: of how many members nothing is known, since the model raised on the changed images.
    """

    declared: Quality
    tried: Sequence[Comparison]
    found: Comparison | None
    member: Member | None
    samples: int
    refused: int = 0


@functools.cache
def price(task: Task, usual: bool, is_huge: bool = False) -> int:
    """By what a p-value is multiplied, for the members of all families of changes of the input and the two looks at each.

    is_huge: where the usual members alone are tried, and there is no second look.
    """
    members = [*values(), *colours(), *symmetries(task), *sizes()]
    count = sum(m.usual == usual for m in members)
    return count if is_huge else _LOOKS * 2 * count


def search(subject: Preflight, members: Sequence[Member]) -> Searched:
    """The best of the members that are significantly better than the declared reading; of those alike, the first."""
    subject = subject.answered
    members = [m for m in members if m.usual] if subject.is_huge else members
    declared = measure_ranking(subject, subject.clean_predictions)
    probes = _choose_probes(subject, declared)
    trials = [_probe(subject, declared, member, probes) for member in members]
    met = _most_promising(trials)[: _FULL_OF_LARGE if subject.is_large else None]
    for k in met:
        trials[k] = _meet(subject, declared, trials[k])
    samples = len(subject.samples)
    if not any(t.comparison.is_better for t in trials if t.is_full):
        promising = [k for k in _most_promising(trials) if k in met]
        if promising and subject.wider is not subject:
            wider = subject.wider.answered
            samples = len(wider.samples)
            whole = measure_ranking(wider, wider.clean_predictions)
            for k in promising[: _FEW_FINALISTS if subject.is_large else _FINALISTS]:
                trials[k] = _meet(wider, whole, trials[k])
    # What was met on its mistakes alone has no quality to be compared.
    tried = [t.comparison if t.is_full else replace(t.comparison, p=1.0) for t in trials]
    found = best_of([t.comparison for t in trials if t.is_full])
    member = next((m for m in members if found and m.name == found.name), None)
    return Searched(declared, tried, found, member, samples, sum(t.refused for t in trials))


def report(check: str, title: str, subject: Preflight, members: Sequence[Member]) -> Finding:
    """What a search over the members says, as the finding of a check."""
    if subject.is_huge and not any(m.usual for m in members):
        side = round(subject.seen_pixels**0.5)
        return Finding(check, title, "not applicable", f"not tried: the network sees {side} x {side} px or so, and a pass takes too long")
    searched = search(subject, members)
    found = searched.found
    if found is not None and searched.member is not None:
        evidence, member = f"{found}; {searched.samples} samples", searched.member
        return Finding(check, title, found.verdict, evidence, member.remedy, gain=found.gain, fix=fix_of_input(subject, member))
    nothing = no_evidence(searched.declared, searched.tried)
    if nothing:
        return Finding(check, title, "not applicable", nothing)
    if searched.refused == len(searched.tried):
        return Finding(check, title, "not applicable", "the model raises on changed images, whatever the change: none could be tried")
    highest = max(searched.tried, key=lambda c: c.changed if c.p < 1 else -1.0)
    best_said = f"; the best: {highest}" if highest.p < 1 else ""
    count = len(searched.tried) - searched.refused
    untried = f"; on {searched.refused} more the model raises" if searched.refused else ""
    return Finding(check, title, "pass", f"none of {count} other readings is significantly better{best_said}{untried}")


def best_of(tried: Sequence[Comparison]) -> Comparison | None:
    """The best of the significantly better readings, whose p-values are corrected; of readings alike, the one that comes first."""
    better = [c for c in tried if c.is_better]
    top = max((c.changed for c in better), default=0.0)
    return next((c for c in better if c.changed > top - GAIN), None)


def _most_promising(trials: Sequence[Trial]) -> list[int]:
    """Positions of the trials of which something can come, the most promising first."""
    return sorted((k for k, t in enumerate(trials) if t.promise is not None), key=lambda k: -(trials[k].promise or 0.0))


def _choose_probes(subject: Preflight, declared: Quality) -> list[int]:
    """Positions of the samples on which members are first tried: a classifier's mistakes, as only there it can win.

    Where only one or two are tried, those that leave most to gain.
    """
    chosen = numpy.flatnonzero(declared.right < 1) if subject.task == "classification" else numpy.arange(len(subject.samples))
    chosen = chosen[numpy.argsort(declared.right[chosen], kind="stable")] if subject.is_huge else chosen
    return [int(i) for i in chosen[: _probe_counts(subject)[-1][0]]]


def _probe_counts(subject: Preflight) -> tuple[tuple[int, int], ...]:
    return _PROBES_OF_HUGE if subject.is_huge else _PROBES_OF_LARGE if subject.is_large else _PROBES


def _probe(subject: Preflight, declared: Quality, member: Member, probes: Sequence[int]) -> Trial:
    """The member on a few samples: without promise where it makes too few of them better."""
    trial = _no_better(declared, member)
    said: dict[int, Prediction] = {}
    for count, wanted in _probe_counts(subject):
        tried = list(probes[:count])
        if not tried:
            return trial  # the declared reading makes no mistake
        if not _ask(subject, member, tried, said):
            return trial._replace(refused=True)
        before = Quality(declared.right[tried], declared.fine[tried], declared.skill)
        few = measure_ranking(subject.part(tried), [said[i] for i in tried])
        wins, losses = int((few.right > before.right).sum()), int((few.right < before.right).sum())
        trial = Trial(member, compare(member.name, before, few), said)
        if wins <= losses or wins < min(wanted, len(tried)):
            return trial._replace(comparison=replace(trial.comparison, p=1.0))
    return trial._replace(promise=trial.comparison.gain)


def _meet(subject: Preflight, declared: Quality, trial: Trial) -> Trial:
    """The member on all samples, those that leave most to gain first; left where nothing can come of it any more."""
    member, said = trial.member, dict(trial.said)
    unmet = [int(i) for i in numpy.argsort(declared.right, kind="stable") if int(i) not in said]
    while unmet:
        if _is_futile(subject, declared, member, said):
            return trial._replace(comparison=replace(trial.comparison, p=1.0), said=said, promise=_promise(subject, declared, said))
        if not _ask(subject, member, unmet[:_AT_ONCE], said):
            return _no_better(declared, member)._replace(refused=True)
        unmet = unmet[_AT_ONCE:]
    comparison = _compare(subject, declared, member, [said[i] for i in range(len(subject.samples))])
    promise = comparison.gain if comparison.gain > 0 or comparison.p < 1 else None
    return Trial(member, comparison, said, is_full=True, promise=promise)


def _is_futile(subject: Preflight, declared: Quality, member: Member, said: Mapping[int, Prediction]) -> bool:
    """Whether the member could not be significantly better even if it were wholly right, and surer, wherever it has not been tried.

    Not of detections: how good one image's are depends on the score that suits all images.
    """
    if subject.task == "detection":
        return False
    met = sorted(said)
    found = measure(subject.part(met), [said[i] for i in met])
    right, fine = numpy.ones(len(declared.right)), numpy.full(len(declared.fine), numpy.inf)
    right[met], fine[met] = found.right, found.fine
    best = _paid(subject, member, declared, Quality(right, fine, 1.0))
    return not best.is_better


def _promise(subject: Preflight, declared: Quality, said: Mapping[int, Prediction]) -> float | None:
    """The mean rise of quality over the samples that were met; None where it fell."""
    met = sorted(said)
    rise = float((measure(subject.part(met), [said[i] for i in met]).right - declared.right[met]).mean())
    return rise if rise > 0 else None


def _no_better(declared: Quality, member: Member) -> Trial:
    """A member that is no better than the declared reading, as far as can be said."""
    mean = float(declared.right.mean()) if len(declared.right) else 0.0
    return Trial(member, Comparison(member.name, mean, mean, declared.skill, 1.0))


def _compare(subject: Preflight, declared: Quality, member: Member, predictions: Sequence[Prediction]) -> Comparison:
    return _paid(subject, member, declared, measure_ranking(subject, predictions))


def _paid(subject: Preflight, member: Member, declared: Quality, changed: Quality) -> Comparison:
    """The comparison, its p-value multiplied by what the search costs."""
    comparison = (compare_finely if member.same_scale else compare)(member.name, declared, changed)
    return replace(comparison, p=min(1.0, comparison.p * price(subject.task, member.usual, subject.is_huge)), least=member.least)


def _ask(subject: Preflight, member: Member, positions: Sequence[int], said: dict[int, Prediction]) -> bool:
    """Adds the member's predictions that are not there; False where the model refuses its images."""
    new = [i for i in positions if i not in said]
    found = _predict(subject, member, new)
    if found is None:
        return False
    said.update(zip(new, found, strict=True))
    return True


def _predict(subject: Preflight, member: Member, positions: Sequence[int]) -> list[Prediction] | None:
    """None where the model raises on changed images: many take one size only, or values of [0, 1]."""
    if member.change is as_it_is:
        said = [subject.clean_predictions[i] for i in positions]
    else:
        try:
            said = subject.predictions(member.change, positions)
        except RobustBenchError:
            raise
        except Exception:
            return None
    if member.back is None:
        return said
    return [member.back(p, *subject.samples[i].image.shape[-2:]) for p, i in zip(said, positions, strict=True)]
