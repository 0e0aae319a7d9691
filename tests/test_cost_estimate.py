"""What a run will take: the arithmetic of a few timed samples, and the words."""

from pathlib import Path

import pytest

from robustbench_cv.cli import main
from robustbench_cv.runner.cost_estimate import CostEstimate, Kind, estimate_cost, extrapolated
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

TRACK = Track("classification", ("lenet5.scenes",), ("scenes(samples=100)",), (CLEAN, Condition("grey", ("grayscale()",))), ("top-1",))
SUITE = Suite("small", 1, (TRACK,), reports=("main-table",), strength=0)


def test_seconds_grow_with_the_samples_and_pictures_do_not() -> None:
    whole, small = make_plan(SUITE, Options(workers=2)), make_plan(SUITE, Options(limit=4))
    timed = {cell.row.key: {"clean": 2.0, "grey": 6.0}[cell.row.condition] for cell in small.cells}
    made = extrapolated(whole, small, timed, grown=800, fixed=70)
    assert {kind.condition: (kind.seconds, kind.n) for kind in made.kinds} == {"clean": (0.5, 100), "grey": (1.5, 100)}
    assert made.seconds == pytest.approx((50 + 150) / 2)
    assert made.disk == 800 * 25 + 70
    assert made.cells == len(whole.cells) == 4


def test_every_kind_is_timed_and_nothing_is_left() -> None:
    made = estimate_cost(SUITE, Options(limit=40))
    assert {(kind.model, kind.condition, kind.n) for kind in made.kinds} == {("lenet5.scenes", "clean", 40), ("lenet5.scenes", "grey", 40)}
    assert made.seconds > 0
    assert made.disk > 1000


def test_the_dearest_come_first_in_words() -> None:
    kinds = [Kind("m", "d", "clean", 0.01, 100), Kind("m", "d", "pgd", 0.39, 100)]
    first, _, dearest, *_ = CostEstimate(kinds, 4, 3 * 2**20).in_words()
    assert first.startswith("about 40 s for 4 cells, and 3 MiB")
    assert dearest == "   98%  m on d · pgd: 390 ms a sample"


def test_the_command_says_it_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "--condition", "grayscale()", "--model", "lenet5.scenes", "--limit", "8", "--strength", "0"]
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--dry-run", "--time", "--quiet"])
    assert done.value.code == 0
    assert "for 2 cells, and" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit) as wrong:
        main([*arguments, "--time"])
    assert wrong.value.code == 2
