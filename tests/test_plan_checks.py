"""What a plan is refused for before its first cell, and what a dry run prints."""

from pathlib import Path

import numpy
import pytest

from robustbench_cv.cli import main
from robustbench_cv.errors import UserError
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.plan_text import missing_regions, plan_in_words
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Gate, Suite, Track

DETECTOR = Track("detection", ("yolov3-small.scenes",), ("scenes(samples=2)",), (CLEAN,), ("ap50",))


@pytest.fixture
def pixels(tmp_path: Path) -> str:
    """Images without masks or boxes."""
    rng = numpy.random.default_rng(0)
    numpy.savez(tmp_path / "d.npz", images=rng.integers(0, 255, (10, 32, 32, 3), dtype=numpy.uint8), labels=numpy.arange(10))
    return f"npz:{tmp_path / 'd.npz'}"


def small(track: Track, *more: Condition, gates: tuple[Gate, ...] = ()) -> Suite:
    changed = Track(track.task, track.models, track.datasets, (*track.conditions, *more), track.metrics)
    return Suite("small", 1, (changed,), gates=gates, reports=("main-table",), strength=0)


@pytest.mark.parametrize("where", ["a file", "inside another"])
def test_a_classifiers_attack_on_a_detector_is_refused_before_anything_runs(where: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from robustbench_cv.catalogue import ATTACKS\ndef build(): return ATTACKS.build('pgd(steps=1)')\n")
    spec = f"{tmp_path / 'mine.py'}:build" if where == "a file" else "transfer(source='lenet5.scenes', attack='pgd(steps=1)')"
    with pytest.raises(UserError, match=r"'theirs'.* is for classification, and the track is for detection; there are .*tog-vanish"):
        run_suite(small(DETECTOR, Condition("theirs", attack=spec)), tmp_path / "out", Options(limit=2))
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_the_wrong_bound_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="higher is better: write at_least"):
        run_suite(small(DETECTOR, gates=(Gate("ap50", "clean", at_most=0.5),)), tmp_path / "out", Options(limit=2))
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_conditions_that_no_sample_will_serve_are_announced(pixels: str) -> None:
    track = Track("classification", ("cifar-resnet20",), (pixels,), (CLEAN,), ("top-1",))
    suite = small(track, Condition("hidden", ("occlude(share=0.5)",)), Condition("grey", ("grayscale()",)))
    (note,) = missing_regions(make_plan(suite, Options()))
    assert "'hidden' needs the region object" in note
    assert "take data with masks or boxes" in note
    in_scenes = small(
        Track("classification", ("lenet5.scenes",), ("scenes(samples=2)",), (CLEAN,), ("top-1",)), *suite.tracks[0].conditions[1:]
    )
    assert missing_regions(make_plan(in_scenes, Options())) == []


@pytest.mark.parametrize(("name", "way_out"), [("cat", "did you mean .*'car'"), ("unicorn", "its classes are sky, ")])
def test_a_class_that_no_data_set_knows_is_refused_before_anything_runs(name: str, way_out: str, tmp_path: Path) -> None:
    track = Track("classification", ("lenet5.scenes",), ("scenes(samples=2)",), (CLEAN,), ("top-1",))
    suite = small(track, Condition("gone", (f"remove(what={name!r})",)))
    with pytest.raises(UserError, match=rf"'gone' is about a class '{name}', which scenes.* does not have; {way_out}"):
        run_suite(suite, tmp_path / "out", Options())
    assert not list((tmp_path / "out").rglob("*.parquet"))
    assert "gone" not in "".join(
        missing_regions(
            make_plan(small(track, Condition("gone", ("remove(what='boat')",)), Condition("grass", ("remove(what='grass')",))), Options())
        )
    )


def test_a_plan_in_words_counts_what_it_plans() -> None:
    plan = make_plan(small(DETECTOR, Condition("hidden", ("occlude(share=0.5)",)), gates=(Gate("ap50", "clean", 0.1),)), Options(limit=2))
    text = "\n".join(plan_in_words(plan))
    assert "conditions  3, in 3 cells with 6 records" in text
    assert "↳ hidden control" in text
    assert "gate: ap50 under clean of every model ≥ 0.1" in text
    assert f"in all {len(plan.cells)} cells, {sum(c.row.n for c in plan.cells)} records" in text


def test_a_dry_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        main(["run", "linf", "--model", "lenet5.scenes", "--limit", "2", "--device", "cpu", "--dry-run"])
    assert done.value.code == 0
    out = capsys.readouterr().out
    assert "in all 2 cells, 4 records" in out
    assert list(tmp_path.iterdir()) == []
