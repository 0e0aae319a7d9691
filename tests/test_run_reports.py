"""What attacks cost, models of one run against each other, and numbers by class and by size, against what the records say."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy
import pandas
import pytest
import torch

from robustbench_cv.catalogue import METRICS
from robustbench_cv.compare import compare_models
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.non_inferiority import regression_of
from robustbench_cv.records import AttackTrace
from robustbench_cv.registry import load_file
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.results import Results
from robustbench_cv.types import BoxPrediction, BoxTarget, Sample

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")


@pytest.fixture(scope="module")
def results() -> Results:
    made: Results = synthetic.make(models={"classification": ("resnet-small", "vgg-small")})
    return made


def by_condition(table):
    return {row[1]: row for row in table.frame.itertuples(index=False, name=None)}


def test_quartiles_and_curve_are_of_the_samples_that_broke() -> None:
    made = synthetic.make(n=6)
    records = made.records
    here = (records["condition"] == "pgd-8") & (records["task"] == "classification")
    forwards = [1, 10, 20, 30, 100, 100]
    traces = [
        AttackTrace(success=i < 4, size=0.1, radius=0.1, forwards=f, backwards=f // 2, zero_grads=0.0) for i, f in enumerate(forwards)
    ]
    records.loc[here, "attack"] = pandas.Series([asdict(t) for t in traces], index=records.index[here])
    items = {item.label: item for item in build_items(synthetic.with_records(made, records), ["query-cost"])}
    row = by_condition(items["query-cost-classification"])["pgd-8"]
    assert row[2:4] == (6, 4)
    assert row[4:7] == tuple(f"{v:.4g}" for v in numpy.quantile([1, 10, 20, 30], (0.25, 0.5, 0.75)))
    assert row[-2:] == ("100", "50")
    frame = next(item for label, item in items.items() if label.startswith("queries-classification")).frame
    curve = frame[frame["condition"] == "pgd-8"]
    assert list(zip(curve["queries"], curve["value"], strict=True)) == [(1, 1 / 6), (10, 2 / 6), (20, 3 / 6), (30, 4 / 6), (100, 4 / 6)]
    assert set(frame["condition"]) == {"pgd-8"}, "of a curve over budgets the largest stands for all"


def test_models_of_a_run_are_compared_as_two_runs_are(results: Results) -> None:
    table = build_items(results, ["comparison"])[0]
    first, second = (g for g in results.groups() if g.task == "classification")
    made = compare_models(results, margin=0.02)
    assert [row.condition for row in made.rows] == [c.name for c in results.conditions("classification") if c.kind != "control"]
    for row in made.rows:
        sides = (results.evidence(g, row.condition, "top-1") for g in (first, second))
        alone = regression_of(results.metric(second, "top-1"), *sides, margin=0.02)
        assert row.result == alone
        assert row.adjusted >= alone.p_regression
    assert set(table.frame["outcome"].str.rstrip("ᵃᵇᶜᵈ†")) <= {"pass", "regression", "inconclusive"}
    assert table.frame["model"].unique().tolist() == ["vgg-small against resnet-small on scenes"]


def test_a_run_of_one_model_compares_nothing() -> None:
    assert build_items(synthetic.make(n=4), ["comparison"]) == []
    with pytest.raises(UserError, match=r"margin=1\.5"):
        compare_models(synthetic.make(n=4), margin=1.5)


def test_every_class_has_its_own_number(results: Results) -> None:
    items = build_items(results, ["by-class"])
    assert [item.task for item in items if isinstance(item, Chart)] == ["segmentation", "detection"], "accuracy keeps no classes"
    for chart, metric in zip((item for item in items if isinstance(item, Chart)), ("class-iou", "class-ap"), strict=True):
        group = next(g for g in results.groups() if g.task == chart.task)
        for row in chart.frame.itertuples():
            assert row.value == pytest.approx(results.estimate(group, row.condition, f"{metric}(of={row[4]!r})").value, nan_ok=True)
        assert "remove" not in set(chart.frame["condition"])
    table = next(item for item in items if item.label == "by-class-segmentation")
    lowest = chart_min(next(item for item in items if isinstance(item, Chart) and item.task == "segmentation"))
    for row in table.frame.itertuples(index=False, name=None):
        assert row[3].estimate.value == pytest.approx(lowest[row[1]])


def chart_min(chart: Chart) -> dict[str, float]:
    edited = chart.frame[chart.frame["condition"] != "clean"]
    return {str(name): float(value) for name, value in edited.groupby("class")["value"].min().items()}


def test_the_mean_over_classes_is_ap() -> None:
    """Boxes of two classes, the second found badly."""
    truth = torch.tensor([[0.0, 0, 10, 10], [30, 30, 40, 40], [60, 0, 70, 10]])
    sample = Sample("a", torch.zeros(3, 1, 1), BoxTarget.of(truth, torch.tensor([0, 1, 1])))
    found = BoxPrediction(truth[:2] + torch.tensor([[0.0], [1.0]]), torch.tensor([0.9, 0.8]), torch.tensor([0, 1]))
    built = {n: METRICS.build(n, labels=synthetic.Labels(("car", "boat"))) for n in ("ap", "class-ap(of='car')", "class-ap(of='boat')")}
    values = {name: metric.reduce([metric.measure(found, sample)]) for name, metric in built.items()}
    assert values["class-ap(of='car')"] == pytest.approx(1.0)
    assert values["ap"] == pytest.approx((values["class-ap(of='car')"] + values["class-ap(of='boat')"]) / 2)
    with pytest.raises(UserError, match="no such class"):
        METRICS.build("class-ap(of='cow')", labels=synthetic.Labels(("car",)))


def test_sizes_are_cocos(results: Results) -> None:
    (table,) = build_items(results, ["by-size"])
    group = next(g for g in results.groups() if g.task == "detection")
    row = by_condition(table)["pgd-4"]
    assert [cell.estimate for cell in row[2:5]] == [results.estimate(group, "pgd-4", f"ap-{size}") for size in ("small", "medium", "large")]
    assert row[4].state == "undefined", "objects of 20 x 20 pixels are small"
