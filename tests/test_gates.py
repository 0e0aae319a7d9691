"""Gates: which bound a metric takes, what a verdict says, and the exit code that they decide."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import msgspec
import pytest

import robustbench_cv as rb
from robustbench_cv.errors import UserError
from robustbench_cv.python_files import load_file
from robustbench_cv.results import Results
from robustbench_cv.suite import CLEAN, Condition, Gate, Suite, Track, check_gates, validate

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")


def gated(*gates: Gate, n: int = 24) -> Results:
    made: Results = synthetic.make(n=n)
    return replace(made, run=msgspec.structs.replace(made.run, gates=gates))


def lower_is_better() -> tuple[str, str]:
    """A metric of the synthetic run of which lower is better, and a condition under which it is measured."""
    made: Results = synthetic.make(n=24)
    for group in made.groups():
        for row in made.run.metrics(group.task):
            for condition in made.conditions(group.task):
                if not row.higher_is_better and made.estimate(group, condition.name, row.name).value is not None:
                    return row.name, condition.name
    raise AssertionError("the synthetic run has no such metric")


def test_at_most_bounds_from_above_and_at_least_from_below() -> None:
    metric, condition = lower_is_better()
    outcomes = [
        {v.outcome for v in gated(gate).gates}
        for gate in (Gate("top-1", "clean", 0.0), Gate("top-1", "clean", 1.0), Gate(metric, condition, at_most=1.0))
    ]
    assert outcomes[0] == {"pass"}
    assert "pass" not in outcomes[1]
    assert outcomes[2] == {"pass"}
    assert "pass" not in {v.outcome for v in gated(Gate(metric, condition, at_most=-0.1)).gates}


@pytest.mark.parametrize("higher", [True, False])
def test_the_wrong_bound_of_a_metric_is_refused_with_the_right_word(higher: bool) -> None:
    track = Track("classification", ("lenet5.scenes",), ("scenes",), (CLEAN,), ("m",))
    wrong, right = (Gate("m", "clean", at_most=0.5), Gate("m", "clean", 0.5))[:: 1 if higher else -1]
    metrics = {"m": SimpleNamespace(is_rate=True, higher_is_better=higher)}
    check_gates(Suite("s", 1, (track,), gates=(right,)), ["lenet5.scenes"], metrics)
    with pytest.raises(UserError, match=f"better: write {right.word}: 0.5"):
        check_gates(Suite("s", 1, (track,), gates=(wrong,)), ["lenet5.scenes"], metrics)


@pytest.mark.parametrize("gate", [Gate("top-1", "clean"), Gate("top-1", "clean", 0.5, at_most=0.6)])
def test_a_gate_has_one_bound(gate: Gate) -> None:
    track = Track("classification", ("lenet5.scenes",), ("scenes",), (CLEAN, Condition("pgd", attack="pgd")), ("top-1",))
    with pytest.raises(UserError, match=r"gates\[0\]: a gate has one bound"):
        validate(Suite("s", 1, (track,), gates=(gate,)))


def test_a_folder_where_at_least_was_said_of_both_decides_nothing_by_it() -> None:
    metric, condition = lower_is_better()
    verdicts = gated(Gate(metric, condition, 0.0)).gates
    assert {v.outcome for v in verdicts} == {"inconclusive"}
    assert "lower is better: write at_most" in verdicts[0].evidence


def test_results_know_their_gates_and_exit_code() -> None:
    passed, failed = Gate("top-1", "clean", 0.0), Gate("top-1", "pgd-8", 0.99)
    assert gated(passed).gates == rb.judge(gated(passed))
    assert [gated(*gates).exit_code for gates in ((), (passed,), (passed, failed))] == [0, 0, 1]
    assert gated(Gate("top-1", "clean", 0.5, "nobody")).exit_code == 0
    stopped = replace(gated(failed), findings=(replace(synthetic.PASS, verdict="stop"),))
    assert stopped.exit_code == 4
    said = str(gated(failed).gates[0])
    assert said.startswith("gate fail: top-1 under pgd-8 of ")
    assert "≥ 0.99 (" in said
    assert "n=24" in said
