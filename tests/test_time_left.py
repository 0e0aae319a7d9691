"""How long a run says that it will still take: by what its like took, by what was timed before, and what it shows of that."""

import pytest

from robustbench_cv.runner import cost_estimate, progress_bar, run
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.progress_bar import Lines
from robustbench_cv.runner.run import run_suite
from robustbench_cv.runner.time_left import Kind, TimeLeft
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

CLEAN_A, PGD_A, PGD_B = Kind("a", "d", "clean"), Kind("a", "d", "pgd"), Kind("b", "d", "pgd")


def test_an_attack_is_not_expected_to_be_as_fast_as_the_clean_samples() -> None:
    left = TimeLeft({CLEAN_A: 100, PGD_A: 100, PGD_B: 100}, {CLEAN_A: 0.01, PGD_A: 0.5, PGD_B: 0.1})
    assert left.seconds == pytest.approx(1 + 50 + 10)
    left.finish(CLEAN_A, 100, 2.0)  # twice as slow as timed: so will the rest be
    assert left.seconds == pytest.approx(2 * 60)
    left.finish(PGD_A, 50, 25.0)
    assert left.seconds == pytest.approx(25 + 100 * 0.1 * 27 / 26)


def test_without_a_guess_the_same_condition_of_another_model_tells() -> None:
    left = TimeLeft({CLEAN_A: 10, PGD_A: 10, PGD_B: 10})
    assert left.seconds is None
    left.finish(CLEAN_A, 10, 1.0)
    assert left.seconds == pytest.approx(20 * 0.1)
    left.finish(PGD_A, 10, 10.0)
    assert left.seconds == pytest.approx(10 * 1.0)
    left.finish(PGD_B, 10, 1.0)
    assert left.seconds == 0


def test_lines_show_what_is_expected_and_not_what_went_by(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    with Lines(100) as bar:
        now[0] = 10
        bar.expect(500.0)
        bar.advance(50)
        now[0] = 45
        bar.describe("m · pgd")
    assert capsys.readouterr().err.splitlines() == [" 50 %  50 of 100, 0:07:45 left  m · pgd"]


GREY = Condition("grey", ("grayscale()",))
TRACK = Track("classification", ("lenet5.scenes",), ("scenes(samples=24)",), (CLEAN, GREY), ("top-1",))
SUITE = Suite("small", 1, (TRACK,), reports=("main-table",), strength=0)


def test_a_run_says_what_it_computes_and_a_large_one_how_long_it_takes(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    said: list[str] = []
    run_suite(SUITE, tmp_path / "small", Options(), announce=said.append)
    assert "2 of 2 cells to compute, 48 samples" in said
    assert not [line for line in said if line.startswith("about ")]
    monkeypatch.setattr(run, "TIMED_FROM", 24)
    said.clear()
    run_suite(SUITE, tmp_path / "large", Options(), announce=said.append)
    (line,) = [line for line in said if line.startswith("about ")]
    assert f"by {cost_estimate.SAMPLES} samples of each model under each condition" in line
    assert "MiB" in line
    said.clear()
    run_suite(SUITE, tmp_path / "large", Options(), announce=said.append)
    assert not [line for line in said if "cells to compute" in line]
