"""Several runs as one: the same numbers under the same names, and nothing joined that is not of one protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from robustbench_cv.check_findings import Finding
from robustbench_cv.errors import UserError
from robustbench_cv.joined_runs import join
from robustbench_cv.registry import load_file
from robustbench_cv.results import Results

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")


def made(model: str, **changes: object) -> Results:
    results: Results = synthetic.make(
        n=6, models={"classification": (model,)}, findings=(Finding("S21", "order", "stop", "e", "r", model=model),)
    )
    return replace(results, run=msgspec.structs.replace(results.run, **changes))


def test_a_joined_run_has_the_numbers_of_its_parts() -> None:
    a, b = synthetic.make(n=6, models={"classification": ("a",)}), synthetic.make(n=6, models={"classification": ("b",)})
    both = join([a, b], same_protocol=True)
    assert [g.model for g in both.groups() if g.task == "classification"] == ["a", "b"]
    for part in (a, b):
        for group in part.groups():
            assert both.estimate(group, "pgd-2", part.metrics(group.task)[0]) == part.estimate(group, "pgd-2", part.metrics(group.task)[0])


def test_what_a_check_stopped_stays_stopped_and_stops_nothing_else() -> None:
    both = join([made("a"), synthetic.make(n=6, models={"classification": ("b",)}, findings=())])
    a, b = (g for g in both.groups() if g.task == "classification")
    assert both.stop_reason(a, "clean")
    assert both.stop_reason(b, "clean") is None


def test_equal_names_with_other_weights_are_told_apart() -> None:
    a, b = made("m"), made("m")
    changed = tuple(msgspec.structs.replace(m, weights_sha256="ff" * 32) for m in b.run.models)
    both = join([a, replace(b, run=msgspec.structs.replace(b.run, models=changed))])
    assert [g.model for g in both.groups() if g.task == "classification"] == ["m (1)", "m (2)"]


@pytest.mark.parametrize(
    ("changes", "strict", "said"),
    [
        ({"seed": 8}, False, "seed: 7 and 8"),
        ({"suite": "other"}, True, "suite: synthetic, version 1, and other, version 1"),
        ({"version": 2}, True, "suite: synthetic, version 1, and synthetic, version 2"),
    ],
)
def test_what_is_not_of_one_protocol_is_refused(changes: dict[str, object], strict: bool, said: str) -> None:
    with pytest.raises(UserError, match=said):
        join([made("a"), made("b", **changes)], same_protocol=strict)


def test_other_samples_under_one_name_are_refused() -> None:
    other = made("b")
    rows = tuple(msgspec.structs.replace(d, ids_sha256="00" * 32) for d in other.run.datasets)
    with pytest.raises(UserError, match="samples of scenes"):
        join([made("a"), replace(other, run=msgspec.structs.replace(other.run, datasets=rows))])


def test_one_run_joined_is_itself() -> None:
    one = made("a")
    assert join([one]) is one
    with pytest.raises(UserError, match="no run to join"):
        join([])
