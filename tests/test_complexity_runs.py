"""Complexity in a run: counted once, kept, drawn; said where it is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from robustbench_cv.catalogue import REPORTS
from robustbench_cv.registry import load_file
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.tables import Table
from robustbench_cv.results import ComplexityRow, Results, read_run
from robustbench_cv.runner.plan import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Suite, Track

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")
MODELS = ("resnet-small", "vgg-small", "vit-small")
MACS = {"resnet-small": 40_551_040, "vgg-small": 2_000_000_000, "vit-small": None}


def with_costs(results: Results) -> Results:
    rows = tuple(
        ComplexityRow("classification", name, "scenes", macs, (96, 128), "" if macs else "it broke") for name, macs in MACS.items()
    )
    sizes = {"resnet-small": 270_000, "vgg-small": 2_700_000, "vit-small": 5_000_000}
    models = tuple(msgspec.structs.replace(m, parameters=sizes.get(m.name, m.parameters)) for m in results.run.models)
    return replace(results, run=msgspec.structs.replace(results.run, complexity=rows, models=models))


@pytest.fixture(scope="module")
def results() -> Results:
    return with_costs(synthetic.make(n=24, models={"classification": MODELS}))


def parts(results: Results, task: str = "classification") -> tuple[Chart, Table]:
    chart, table = (item for item in REPORTS.build("complexity")(results) if item.task == task)
    return chart, table


def test_the_chart_s_frame_holds_cost_and_worth(results: Results) -> None:
    frame = parts(results)[0].frame.set_index(["model", "kind"])
    group = next(g for g in results.groups() if g.model == "vgg-small")
    clean, worst = frame.loc[("vgg-small", "clean")], frame.loc[("vgg-small", "worst")]
    assert (clean["macs"], clean["parameters"]) == (2e9, 2.7e6)
    assert clean["value"] == results.estimate(group, "clean", "top-1").value
    budget = results.budgets("classification")[-1]
    assert worst["value"] == results.worst_case(group, "top-1", budget).value < clean["value"]
    assert worst["low"] <= worst["value"] <= worst["high"]


def test_circles_stand_at_their_cost_and_their_areas_are_parameters(results: Results) -> None:
    axes = parts(results)[0].figure().axes[0]
    circles: Any = [(*c.get_offsets()[0], c.get_sizes()[0]) for c in axes.collections]
    found = {round(float(x), 6) for x, _, _ in circles}
    assert found == {0.040551, 2.0}  # vit-small was not counted
    areas = {round(float(x), 6): area for x, _, area in circles}
    assert areas[2.0] / areas[0.040551] == pytest.approx(10)
    assert len(circles) == 4


def test_what_was_not_counted_is_named_with_its_reason(results: Results) -> None:
    chart, table = parts(results)
    assert any("vit-small" in note and "it broke" in note for note in chart.notes)
    assert any("vit-small" in note and "it broke" in note for note in table.notes)
    rows = {row["model"]: row for row in table.frame.to_dict("records")}
    assert rows["vgg-small on scenes"]["GMAC"] == "2"
    assert rows["vgg-small on scenes"]["GFLOP"] == "4"
    assert rows["vgg-small on scenes"]["image"] == "128x96"
    assert rows["vit-small on scenes"]["GMAC"].startswith("–")


def test_a_run_of_an_older_version_says_that_it_counted_nothing() -> None:
    chart, table = parts(synthetic.make(n=4))
    assert "did not count" in " ".join(chart.notes)
    assert "did not count" in " ".join(table.notes)
    assert chart.to_bytes("png")


def test_metrics_without_a_worst_case_show_their_worst_attack(results: Results) -> None:
    table = parts(results, "segmentation")[1]
    row = table.frame.to_dict("records")[0]
    assert row["worst under"] == "pgd-8"
    worst = row["worst miou"]
    group = next(g for g in results.groups() if g.task == "segmentation")
    values = [results.estimate(group, c.name, "miou").value for c in results.conditions("segmentation", "attack")]
    assert worst.estimate.value == min(v for v in values if v is not None)


def test_a_blocked_model_is_not_drawn() -> None:
    stop = replace(synthetic.STOP, model="resnet-small")
    results = with_costs(synthetic.make(n=4, findings=(stop,), models={"classification": ("resnet-small",)}))
    axes = parts(results)[0].figure().axes[0]
    assert not axes.collections


SUITE = Suite(
    "costs", 1, (Track("classification", ("lenet5.scenes", "cifar-resnet20.scenes"), ("scenes",), (CLEAN,), ("top-1",), samples=2),)
)


def test_a_run_counts_each_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_suite(SUITE, tmp_path, Options())
    rows = {row.model: row for row in read_run(tmp_path).complexity}
    # 28^2 6 75 + 10^2 16 6 25 (run densely) + 120 400 + 84 120 + 10 84
    assert rows["lenet5.scenes"] == ComplexityRow("classification", "lenet5.scenes", "scenes-test-b80", 651_720, (96, 96))
    assert (rows["cifar-resnet20.scenes"].macs or 0) == pytest.approx(40.55e6, rel=0.001)

    def forbidden(*_: object) -> None:
        raise AssertionError("counted again")

    monkeypatch.setattr("robustbench_cv.runner.complexity.count", forbidden)
    before = (tmp_path / "run.json").read_bytes()
    assert run_suite(SUITE, tmp_path, Options()).computed == 0
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_model_that_cannot_be_watched_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise NotImplementedError("no such operator under a mode")

    monkeypatch.setattr("robustbench_cv.runner.complexity.count", broken)
    assert run_suite(SUITE, tmp_path, Options()).exit_code == 0
    row = read_run(tmp_path).complexity[0]
    assert row.macs is None
    assert "no such operator under a mode" in row.note
