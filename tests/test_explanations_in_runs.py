"""Explanations as a part of a run: counted once, kept, reported beside accuracy, and never in the way of the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from robustbench_cv.catalogue import REPORTS, SUITES
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import UserError
from robustbench_cv.explain.methods import build_method
from robustbench_cv.explain.survey import survey
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.models.build import build
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.table_cells import Number
from robustbench_cv.rendering.tables import Table
from robustbench_cv.results import ExplanationRow, Results, read_run
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Suite, Track
from robustbench_cv.suite_files import check_specs
from tests import synthetic_results as synthetic

MODEL = "lenet5.scenes"
TRACK = Track("classification", (MODEL,), ("scenes",), (CLEAN,), ("top-1",), samples=6, explanations=("gradient", "grad-cam(layer='no')"))
SUITE = Suite("looks", 1, (TRACK,), reports=("explanations",))


def test_a_run_explains_each_model_once_and_a_method_that_fails_leaves_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_suite(SUITE, tmp_path, Options())
    assert first.exit_code == 0
    rows = read_run(tmp_path).explanations
    gradient = [row for row in rows if row.method == "gradient"]
    failed = [row for row in rows if row.method != "gradient"]
    assert [row.note.startswith("lenet5.scenes has no layer 'no'") for row in failed] == [True]

    pair = make_plan(SUITE, Options()).pairs[0]
    model = build(MODEL)
    known = ClassMap.match(pair.dataset.labels, model.info.classes)
    expected = survey(model, pair.dataset, known, build_method("gradient"), pair.indices).rows
    assert [row.n for row in gradient] == [row.n for row in expected]
    assert gradient[-1].label == ""
    assert gradient[-1].relevance_mass == expected[-1].mass
    assert gradient[-1].excess == expected[-1].clever_hans.excess

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("explained again")

    monkeypatch.setattr("robustbench_cv.runner.explanations.survey", forbidden)
    before = (tmp_path / "run.json").read_bytes()
    assert run_suite(SUITE, tmp_path, Options()).computed == 0
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_model_that_breaks_under_a_method_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise NotImplementedError("no such backward")

    monkeypatch.setattr("robustbench_cv.runner.explanations.survey", broken)
    assert run_suite(SUITE, tmp_path, Options()).exit_code == 0
    assert {row.note for row in read_run(tmp_path).explanations} == {"no such backward"}


def test_a_misspelt_method_is_refused_before_anything_runs() -> None:
    with pytest.raises(UserError, match="did you mean 'gradient'"):
        check_specs(Suite("s", 1, (replace_explanations("gradiant"),)))


def replace_explanations(*methods: str) -> Track:
    return msgspec.structs.replace(TRACK, explanations=methods)


def parts(results: Results) -> tuple[Chart, Table, Table]:
    chart, table, maps = REPORTS.build("explanations")(results)
    assert isinstance(chart, Chart)
    assert isinstance(table, Table)
    assert isinstance(maps, Table)
    return chart, table, maps


def explained(method: str, excess: float, flagged: tuple[str, ...] = ()) -> list[ExplanationRow]:
    numbers = {"excess": Estimate(excess, excess - 0.1, excess + 0.1, 16), "relevance_mass": Estimate(excess + 0.2, 0.1, 0.9, 16)}
    head = {"task": "classification", "model": "resnet-small", "dataset": "scenes", "method": method, "n": 16}
    row = msgspec.convert(head, ExplanationRow)
    each = [msgspec.structs.replace(row, label=name, clever_hans="flagged" if name in flagged else "no") for name in ("car", "boat")]
    return [*each, msgspec.structs.replace(row, **numbers)]


def test_the_report_has_a_row_a_method_and_names_the_flagged_classes() -> None:
    results = synthetic.make(n=4, models={"classification": ("resnet-small",)})
    rows = (*explained("gradient", 0.3), *explained("occlusion", -0.05, flagged=("boat",)))
    results = replace(results, run=msgspec.structs.replace(results.run, explanations=rows))
    chart, table, _ = parts(results)
    shown = table.frame.to_dict("records")
    assert [(row["method"], row["Clever Hans"], row["n"]) for row in shown] == [
        ("gradient", "none", 16),
        ("occlusion", "boat (n = 16)", 16),
    ]
    cell = shown[1]["mass − area"]
    assert isinstance(cell, Number)
    assert cell.text == "−5.0 [−15.0, +5.0]"
    assert list(chart.frame["mass − area"]) == [0.3, -0.05]
    assert chart.to_bytes("png")


def test_runs_without_explanations_have_no_such_report() -> None:
    assert REPORTS.build("explanations")(synthetic.make(n=4)) == []


def test_numbers_of_a_blocked_model_are_not_shown() -> None:
    stop = replace(synthetic.STOP, model="resnet-small")
    results = synthetic.make(n=4, findings=(stop,), models={"classification": ("resnet-small",)})
    results = replace(results, run=msgspec.structs.replace(results.run, explanations=tuple(explained("gradient", 0.3))))
    chart, table, _ = parts(results)
    assert table.frame.to_dict("records")[0]["mass − area"].blocked
    assert chart.frame.empty


def test_the_suite_asks_for_one_method_or_for_four() -> None:
    assert {track.explanations for track in SUITES.build("explanations").tracks} == {
        ("occlusion", "gradient", "integrated-gradients", "grad-cam")
    }
    assert {track.explanations for track in SUITES.build("explanations(method='lrp')").tracks} == {("lrp",)}
