"""The report "before and after": its numbers are those of the records, its verdicts those of the intervals."""

import shutil
from pathlib import Path

import numpy
import pytest

from robustbench_cv import context_results
from robustbench_cv.bundled_weights import FOLDER
from robustbench_cv.cli.run import summary
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.score_intervals import tango
from robustbench_cv.metrics.verdicts import Verdict, at_least, every
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.table_cells import Number
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.results import Results
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite_files import check_specs, find_suite
from robustbench_cv.tasks import Task
from tests.toy_context import Toy

TOY = f"{Path(__file__).parent / 'toy_context.py'}:toy"


def run(folder: Path, models: tuple[object, ...], data: tuple[str, ...], limit: int = 40) -> Results:
    return run_suite(
        find_suite("context-hardening"),
        folder,
        Options(models=models, data=data, limit=limit, strength=0),  # type: ignore[arg-type]
    ).results


def shown(results: Results, spec: str = "hardening") -> tuple[Table, Chart]:
    table, chart = build_items(results, [spec])
    assert isinstance(table, Table)
    assert isinstance(chart, Chart)
    return table, chart


def value(cell: object) -> float:
    assert isinstance(cell, Number)
    assert cell.estimate.value is not None
    return cell.estimate.value


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_a_model_that_reads_objects_gains_out_of_context_on_data_of_ones_own(task: Task, tmp_path: Path) -> None:
    results = run(tmp_path, (Toy(task, "context"), Toy(task, "object")), (TOY,))
    table, chart = shown(results)
    assert table.frame["number"].tolist()[:3] == ["in context (toy-context)", "out of context (context swapped)", "context index"]
    within, without, index, together = table.frame.to_dict("records")
    assert value(within["difference"]) == pytest.approx(0, abs=0.01)
    assert value(without["after"]) - value(without["before"]) == pytest.approx(value(without["difference"]))
    assert value(without["difference"]) > 0.3
    assert without["verdict"] == "holds"
    assert (value(index["before"]), value(index["after"])) == pytest.approx((1, 0), abs=0.02)
    assert together["verdict"] == within["verdict"]
    assert chart.frame["where"].tolist() == [within["number"], without["number"]] * 2
    assert chart.to_bytes("png")[:4] == b"\x89PNG"
    backwards, _ = shown(run(tmp_path / "backwards", (Toy(task, "object"), Toy(task, "context")), (TOY,)))
    assert backwards.frame["verdict"].tolist()[1] == backwards.frame["verdict"].tolist()[-1] == "does not hold"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Three classifiers in context and out of it."""
    data = ("scenes(bias=1.0, size=48)", "scenes(bias=0.0, size=48)")
    return run(tmp_path_factory.mktemp("run"), ("lenet5.scenes", "cifar-resnet20.scenes", "vgg-mini.scenes"), data, 30)


def test_rates_and_their_paired_differences_are_those_of_the_records(scenes: Results) -> None:
    table, chart = shown(scenes)
    assert table.frame["models"].drop_duplicates().tolist() == [
        "cifar-resnet20.scenes, before: lenet5.scenes",
        "vgg-mini.scenes, before: lenet5.scenes",
    ]
    records = scenes.records
    clean = records[records["condition"] == "clean"]
    rows = table.frame.to_dict("records")
    for row in (rows[0], rows[1], rows[4], rows[5]):
        after = row["models"].partition(",")[0]
        dataset = "scenes-test-b100-s48" if row["number"].startswith("in context") else "scenes-test-b0-s48"
        right = {
            model: {
                r["sample"]: r["evidence"]["top-1"]
                for r in clean[(clean["model"] == model) & (clean["dataset"] == dataset)].to_dict("records")
            }
            for model in ("lenet5.scenes", after)
        }
        a, b = (numpy.array([right[model][k] for k in sorted(right[after])], dtype=int) for model in (after, "lenet5.scenes"))
        assert (value(row["before"]), value(row["after"])) == pytest.approx((b.mean(), a.mean()))
        assert value(row["difference"]) == pytest.approx(a.mean() - b.mean())
        interval = tango(int((a > b).sum()), int((b > a).sum()), len(a), level=0.95)
        assert (row["difference"].estimate.low, row["difference"].estimate.high) == pytest.approx(interval)
        assert (row["n"], row["excluded"]) == (30, 0)
        assert row["must be"] == ("≥ −1 point" if dataset.endswith("b100-s48") else "≥ +10 points")
        bound = -0.01 if dataset.endswith("b100-s48") else 0.1
        assert row["verdict"] == ("holds" if interval.low >= bound else "does not hold" if interval.high < bound else "can't tell")
    assert len(chart.frame) == 6
    for k, model in enumerate(("lenet5.scenes", "cifar-resnet20.scenes")):
        group = next(g for g in scenes.groups() if g.model == model and g.dataset == "scenes-test-b100-s48")
        index = context_results.reliance(scenes, group, "objects removed (exact)", "context swapped (exact)").context_index
        assert rows[2][("before", "after")[k]].estimate == index
    assert any("by exact counterfactuals" in note for note in table.notes)


def test_the_requirements_are_the_users(scenes: Results) -> None:
    table, _ = shown(scenes, "hardening(most_lost=1.0, least_gained=0.005)")
    assert table.frame["must be"].tolist()[:2] == ["≥ −100 points", "≥ +0.5 points"]
    assert table.frame["verdict"].tolist()[0] == "holds"
    last = table.frame["number"].tolist()[3]
    assert last == "together: in context ≥ −100 points and out of context ≥ +0.5 points"


def test_the_command_prints_it(scenes: Results) -> None:
    printed = summary(scenes)
    assert printed.startswith("Classification: top-1 before and after hardening")
    assert "can't tell" in printed or "holds" in printed


def test_one_model_has_nothing_to_compare_with(tmp_path: Path) -> None:
    table, _ = shown(run(tmp_path, (Toy("classification", "object"),), (TOY,)))
    assert table.frame["after"].tolist() == [None] * 3
    assert any("second --model" in note for note in table.notes)


def test_weights_of_one_architecture_are_told_apart_by_their_files(tmp_path: Path) -> None:
    specs = []
    for name in ("plain", "hardened"):
        shutil.copy(FOLDER / "lenet5.scenes.safetensors", tmp_path / f"{name}.safetensors")
        specs.append(f"lenet5(checkpoint={str(tmp_path / name)!r})".replace(name, f"{name}.safetensors"))
    table, _ = shown(run(tmp_path / "run", tuple(specs), ("scenes(size=48)",), 6))
    assert table.frame["models"].tolist()[0] == "lenet5 (hardened), before: lenet5 (plain)"
    assert value(table.frame["difference"].tolist()[0]) == 0


def test_the_suite_asks_for_models() -> None:
    with pytest.raises(UserError, match="has none; name some there, or with --model"):
        check_specs(find_suite("context-hardening"))
    asked = find_suite("context-hardening(size=48, most_lost=0.02)")
    assert asked.reports[0] == "hardening(most_lost=0.02, least_gained=0.1)"
    assert asked.tracks[0].datasets == ("scenes(bias=1.0, size=48)", "scenes(bias=0.0, size=48)")


@pytest.mark.parametrize(
    ("number", "verdict"),
    [
        (Estimate(0.2, 0.1, 0.3, 100), "holds"),
        (Estimate(0.2, 0.09, 0.3, 100), "can't tell"),
        (Estimate(0.05, 0.0, 0.1, 100), "can't tell"),
        (Estimate(0.05, 0.0, 0.09, 100), "does not hold"),
        (Estimate(0.2, None, None, 1), "can't tell"),
        (Estimate(None, None, None, 0), "can't tell"),
        (Estimate(0.2, 0.15, 0.3, 100, 1, failed=1), "can't tell"),
    ],
)
def test_a_verdict_is_of_the_whole_interval(number: Estimate, verdict: Verdict) -> None:
    assert at_least(number, 0.1) == verdict


def test_together_the_worst_counts() -> None:
    assert every("holds", "holds") == "holds"
    assert every("holds", "can't tell") == "can't tell"
    assert every("can't tell", "does not hold") == "does not hold"
    assert every() == "can't tell"
