"""Before a run: which loss its samples can see, and how many would see a loss of twice the margin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy

from robustbench_cv.catalogue import METRICS
from robustbench_cv.compare import has_evidence
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.evidence import Column, aligned
from robustbench_cv.metrics.intervals import discordant, moments_of
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.non_inferiority import SIZE, detectable, detectable_loss, needed_samples, regression_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Suite
from robustbench_cv.tasks import Task
from robustbench_cv.types import Labels

DISAGREE = 0.1
"""The share of samples on which two models are taken to answer otherwise, where nothing measured says so (project choice)."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """Of one metric of a task (model "", condition "": each of them). n: samples; None where all of the data are used, however many.

    sees: the least loss that is called a regression with a power of 90 %. needed: samples that see a loss of twice the margin. disagree:
    the share of samples on which the models answer otherwise. assumed: it was not measured. Of sees and needed None where nothing says
    how far a sample moves the metric.
    """

    task: Task
    model: str = ""
    condition: str = ""
    metric: str
    n: int | None
    comparisons: int
    disagree: float | None
    assumed: bool = True
    sees: float | None = None
    needed: int | None = None


def power_of_suite(
    suite: Suite, *, margin: float, disagree: float = DISAGREE, limit: int | None = None, models: int | None = None
) -> list[Power]:
    """A row a task, without a single image read. models: how many are compared of each task; those of the suite unless given.

    UserError for a margin or a share that is none.
    """
    _require_shares(margin, disagree)
    family = sum((models or max(1, len(t.models))) * max(1, len(t.datasets)) * len(t.conditions) for t in suite.tracks)
    rows = []
    for track in suite.tracks:
        metric: Metric = METRICS.build(track.metrics[0], labels=Labels(("a", "b")), operating_score=0.5)
        n = limit or track.samples
        row = Power(task=track.task, metric=track.metrics[0], n=n, comparisons=family, disagree=disagree)
        if metric.is_rate:
            sees = None if n is None else detectable_loss(n, disagree, margin, family)
            row = replace(row, sees=sees, needed=_needed_of_rate(disagree, margin, family))
        rows.append(row)
    return rows


def power_of_run(results: Results, other: Results | None = None, *, margin: float, disagree: float = DISAGREE) -> list[Power]:
    """A row for each model under each condition, by what its records say. other: of a second model on the same samples, whose
    disagreement with the first is then measured instead of assumed.
    """
    _require_shares(margin, disagree)
    family = sum(len(_conditions(results, group)) for group in results.groups())
    return [row for group in results.groups() for row in _of_group(results, group, other, margin, disagree, family)]


def _conditions(results: Results, group: Group) -> list[str]:
    return [c.name for c in results.conditions(group.task) if c.kind != "control"]


def _of_group(results: Results, group: Group, other: Results | None, margin: float, disagree: float, family: int) -> Iterator[Power]:
    partner = _partner(other, group)
    for condition in _conditions(results, group):
        name = next((m for m in results.metrics(group.task) if has_evidence([(results, group)], condition, m)), None)
        if name is None:
            continue
        metric = results.metric(group, name)
        column = results.evidence(group, condition, name)
        there = other.evidence(partner, condition, name) if other is not None and partner is not None else None
        n, share, assumed = len(column), disagree, True
        if there is not None:
            shared = len(aligned([column, there])[0])
            if not shared:
                raise UserError(f"the two runs have no sample in common: {group.model} on {group.dataset} under {condition}")
            n, share, assumed = shared, _share(metric, column, there), False
        row = Power(
            task=group.task,
            model=group.model,
            condition=condition,
            metric=name,
            n=n,
            comparisons=family,
            disagree=share,
            assumed=assumed,
        )
        if metric.is_rate:
            yield replace(row, sees=detectable_loss(n, share, margin, family), needed=_needed_of_rate(share, margin, family))
            continue
        deviation = _deviation(metric, column, there, share)
        if deviation:
            needed = math.ceil(needed_samples(deviation, margin, SIZE / family)) if margin else None
            row = replace(row, sees=detectable(n, deviation, margin, family), needed=needed)
        yield row


def _partner(other: Results | None, group: Group) -> Group | None:
    """The model of the same name in the other run, or the only one there of the task."""
    if other is None:
        return None
    same = [g for g in other.groups() if (g.task, g.dataset) == (group.task, group.dataset)]
    return next((g for g in same if g.model == group.model), same[0] if len(same) == 1 else None)


def _share(metric: Metric, one: Column, other: Column) -> float:
    """Of samples on which two models answer otherwise."""
    a, b = aligned([one, other])
    if metric.is_rate:
        only_a, only_b = discordant(a.values, b.values)
        return float(only_a + only_b) / len(a)
    other_answers = sum(x != y for x, y in zip(a.values.to_pylist(), b.values.to_pylist(), strict=True))
    return float(other_answers) / len(a)


def _deviation(metric: Metric, one: Column, other: Column | None, disagree: float) -> float | None:
    """Of one sample's share in the difference of two models. Without the other: both are taken to answer alike but for a share of the
    samples, and independently there (project choice)."""
    if other is not None:
        made = regression_of(metric, one, other, 0.0)
        return None if made.error is None else made.error * math.sqrt(made.change.n)
    if not len(one):
        return None
    moments = moments_of(metric, one.values)
    return None if moments.value is None else math.sqrt(2 * disagree * len(one) * float(numpy.square(moments.influence).sum()))


def _needed_of_rate(disagree: float, margin: float, family: int) -> int | None:
    return math.ceil(needed_samples(math.sqrt(max(disagree, 2 * margin)), margin, SIZE / family)) if margin else None


def _require_shares(margin: float, disagree: float) -> None:
    if not 0 <= margin < 0.5:
        raise UserError(f"margin={margin} must be a loss from 0 up, below 0.5: 0.02 is two points of percent")
    if not 0 < disagree <= 1:
        raise UserError(f"disagree={disagree} must be the share of samples on which the models answer otherwise, above 0 and up to 1")
