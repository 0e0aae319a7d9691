"""Bounds that numbers must reach, decided on intervals: passed, failed, or inconclusive (the sample is too small to tell)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from robustbench_cv.metrics.failures import best_interval
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Gate

Outcome = Literal["pass", "fail", "inconclusive", "not applicable"]


@dataclass(frozen=True)
class Verdict:
    """What a gate says of one model on one data set; "not applicable" where the run has no such model."""

    gate: Gate
    group: Group
    outcome: Outcome
    evidence: str

    def __str__(self) -> str:
        gate = self.gate
        where = f"{self.group.model} on {self.group.dataset}" if self.group.dataset else self.group.model
        return f"gate {self.outcome}: {gate.metric} under {gate.condition} of {where} {gate.sign} {gate.bound:g} ({self.evidence})"


def judge(results: Results) -> list[Verdict]:
    """Every gate of the run on every model that it names."""
    return [v for gate in results.run.gates for v in _judge(gate, results)]


def _judge(gate: Gate, results: Results) -> Iterator[Verdict]:
    measured = [
        group
        for group in results.groups()
        if gate.metric in results.metrics(group.task) and gate.condition in {c.name for c in results.conditions(group.task)}
    ]
    named = [group for group in measured if gate.model in ("*", group.model)]
    for group in named:
        yield Verdict(gate, group, *_decide(gate, results, group))
    if not named and measured:
        models = ", ".join(dict.fromkeys(group.model for group in measured))
        nobody = Group(measured[0].task, gate.model, "")
        yield Verdict(gate, nobody, "not applicable", f"no model of this run is called that; it has {models}")


def _decide(gate: Gate, results: Results, group: Group) -> tuple[Outcome, str]:
    number = results.estimate(group, gate.condition, gate.metric)
    higher = results.metric_row(group.task, gate.metric).higher_is_better
    if higher != (gate.word == "at_least"):  # of a folder of an earlier version, where at_least was said of both
        right = "at_least" if higher else "at_most"
        return (
            "inconclusive",
            f"{gate.word} is no bound of {gate.metric}, of which {'higher' if higher else 'lower'} is better: write {right}",
        )
    sign = 1 if higher else -1
    if number.failed:
        return _with_failed(gate, number, sign)
    if number.value is None or number.low is None or number.high is None:
        return "inconclusive", number.reason or "no interval"
    low, high = sorted((sign * number.low, sign * number.high))
    bound = sign * gate.bound
    outcome: Outcome = "pass" if low >= bound else "fail" if high < bound else "inconclusive"
    return outcome, f"{number.value:.4f} [{number.low:.4f}, {number.high:.4f}], n={number.n}, bound {gate.bound}"


def _with_failed(gate: Gate, number: Estimate, sign: int) -> tuple[Outcome, str]:
    """Never passed; failed where not even all failed samples right would reach the bound."""
    total, interval = number.n + number.failed, best_interval(number)
    said = f"{number.failed} of {total} samples failed"
    if interval is None or number.all_wrong is None or number.all_right is None:
        return "inconclusive", f"{said}, bound {gate.bound}"
    said += f": between {number.all_wrong:.4f} (all of them wrong) and {number.all_right:.4f} (all right), bound {gate.bound}"
    best = max(sign * end for end in interval)
    return ("fail" if best < sign * gate.bound else "inconclusive"), said
