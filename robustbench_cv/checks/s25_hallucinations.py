"""S25: are hallucinations, which average precision cannot see, reported beside it?"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import After, Before, Preflight
from robustbench_cv.results import Group, Results
from robustbench_cv.types import BoxPrediction, BoxTarget

_TITLE = "hallucinations are counted"


@check(
    stage="before",
    needs="s32-class-count",
    cost="passes",
    action="note",
    gives="how many reported boxes are of classes that no sample holds",
)
def s25_unseen_classes() -> Before:
    """Counts reported boxes of classes that no sample holds: AP leaves such classes out of its mean, hallucinations and all."""
    return _before


def _before(subject: Preflight) -> Finding:
    if subject.task != "detection":
        return Finding("S25", _TITLE, "not applicable", "only average precision is blind to them")
    present = {int(label) for s in subject.samples if isinstance(s.target, BoxTarget) for label in s.target.labels}
    score = subject.model.info.operating_score
    reported = [p.labels[p.scores >= score] for p in subject.clean_predictions if isinstance(p, BoxPrediction)]
    labels = torch.cat(reported).tolist()
    if not labels:
        return Finding("S25", _TITLE, "not applicable", "nothing is reported: hallucination rates of 0 are no merit here")
    unseen = [label for label in labels if label not in present]
    evidence = f"{len(unseen)} of {len(labels)} reported boxes are of classes that no sample holds"
    if unseen:
        return Finding("S25", _TITLE, "note", evidence, "AP ignores them: report hallucination-rate or fabricated-per-image beside it")
    return Finding("S25", _TITLE, "pass", evidence)


@check(
    stage="after",
    cost="records",
    action="stop",
    gives="how many samples still show a removed class",
)
def s25_hallucinations() -> After:
    """Refuses average precision alone after a removal: a class that is gone leaves the mean, so seeing it everywhere costs nothing."""
    return lambda after_run: list(_after(after_run.results)) or [Finding("S25", _TITLE, "not applicable", "no detector met a removal")]


def _after(results: Results) -> Iterator[Finding]:
    for group in results.groups():
        if group.task == "detection":
            yield from _of_group(results, group)


def _of_group(results: Results, group: Group) -> Iterator[Finding]:
    rates = [m.name for m in results.run.metrics(group.task) if m.counts_absent and m.is_rate]
    for condition in results.conditions(group.task, "intervention"):
        if not results.facts(group.task, condition.name).removes_objects:
            continue
        said = functools.partial(
            Finding, "S25", _TITLE, model=group.model, dataset=group.dataset, condition=condition.name, task=group.task
        )
        if not rates:
            yield said("stop", "average precision alone cannot judge a removal", "add hallucination-rate to the track's metrics")
            continue
        outcomes = results.evidence(group, condition.name, rates[0])
        if not len(outcomes):
            yield said("not applicable", f"{rates[0]} could be measured on no sample")
            continue
        still_seen = outcomes.values.true_count
        yield said("pass", f"{rates[0]} is measured on {len(outcomes)} samples: {still_seen} still show a removed class")
