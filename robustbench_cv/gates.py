"""Bounds that numbers must reach, decided on intervals: passed, failed, or inconclusive (the sample is too small to tell)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Gate

Outcome = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """What a gate says of one model on one data set."""

    gate: Gate
    group: Group
    outcome: Outcome
    evidence: str


def judge(results: Results) -> list[Verdict]:
    """Every gate of the run on every model that it names."""
    return [v for gate in results.run.gates for v in _judge(gate, results)]


def _judge(gate: Gate, results: Results) -> Iterator[Verdict]:
    for group in results.groups():
        names = {c.name for c in results.conditions(group.task)}
        if gate.metric not in results.metrics(group.task) or gate.condition not in names or gate.model not in ("*", group.model):
            continue
        found = results.estimate(group, gate.condition, gate.metric)
        if found.value is None or found.low is None or found.high is None:
            yield Verdict(gate, group, "inconclusive", found.reason or "no interval")
            continue
        higher_is_better = results.metric(group, gate.metric).higher_is_better
        low, high, bound = (found.low, found.high, gate.at_least) if higher_is_better else (-found.high, -found.low, -gate.at_least)
        outcome: Outcome = "pass" if low >= bound else "fail" if high < bound else "inconclusive"
        yield Verdict(gate, group, outcome, f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}], n={found.n}, bound {gate.at_least}")
