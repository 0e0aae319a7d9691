"""From a suite to records: resuming, killing, what a change redoes, and what never becomes a number."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pandas
import pytest
import torch

from robustbench_cv.batching import BatchSize
from robustbench_cv.errors import UserError
from robustbench_cv.models.classifiers.lenet5 import LeNet5
from robustbench_cv.models.weights.description import Description, write
from robustbench_cv.records import cells_in
from robustbench_cv.results import Results
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner.cell import condition_sample
from robustbench_cv.runner.job import build_job
from robustbench_cv.runner.plan import Options, _shown_in_pictures, make_plan
from robustbench_cv.runner.run import Outcome, run_suite
from robustbench_cv.suite import CLEAN, Condition, Gate, Suite, Track

CLASSES = ("dark", "bright", "red")

MODEL = '''
import torch
from torch import nn
from robustbench_cv.models.adapt import classifier
from robustbench_cv.types import Labels


class Tiny(nn.Module):
    """dark, bright or red, from the mean colour; `gain` is its only weight."""

    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(float(gain)))

    def forward(self, x):
        {before}
        red, rest = x[:, 0].mean((1, 2)), x[:, 1:].mean((1, 2, 3))
        scores = torch.stack([0.4 - rest - red, rest - 0.4, red - rest], dim=1)
        {after}
        return scores * self.gain


def build(gain=20.0):
    return classifier(Tiny(gain), name="tiny", classes=Labels(("dark", "bright", "red")))
'''


def write_model(folder: Path, before: str = "pass", after: str = "pass") -> str:
    path = folder / "model.py"
    path.write_text(MODEL.format(before=before, after=after))
    return f"{path}:build"


def write_data(folder: Path, count: int = 150, side: int = 12, seed: int = 0) -> str:
    rng = numpy.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    colours = numpy.array([[40, 40, 40], [180, 180, 180], [200, 40, 40]])[labels]
    images = numpy.clip(colours[:, None, None] + rng.normal(0, 45, (count, side, side, 3)), 0, 255).astype(numpy.uint8)
    path = folder / f"data{seed}.npz"
    numpy.savez(path, images=images, labels=labels, classes=numpy.array(CLASSES))
    return f"npz:{path}"


def small_suite(model: str, data: str, *more: Condition, gates: tuple[Gate, ...] = ()) -> Suite:
    conditions = (CLEAN, Condition("pgd", attack="pgd(eps=0.1, steps=3)", severity=0.1, curve="pgd"), *more)
    track = Track("classification", (model,), (data,), conditions, ("top-1",))
    return Suite("small", 1, (track,), gates=gates, reports=("main-table", "checks"))


def records_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted((folder / "records").rglob("*.parquet"))}


def _count(found: Callable[[str], Iterable[Path]]) -> int:
    return sum(1 for _ in found("*.parquet"))


def cells_of(folder: Path) -> frozenset[str]:
    """The keys of the cells whose records are there."""
    return frozenset().union(*(cells_in(path) for path in (folder / "records").rglob("*.parquet")))


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return small_suite(write_model(tmp_path), write_data(tmp_path))


def run(suite: Suite, out: Path, **options: object) -> Outcome:
    return run_suite(suite, out, Options(**options))  # type: ignore[arg-type]


def test_a_run_leaves_one_record_for_each_sample_and_condition(suite: Suite, tmp_path: Path) -> None:
    outcome = run(suite, tmp_path / "out")
    results = outcome.results
    assert len(results.records) == 300
    assert not results.records.duplicated(["condition", "sample"]).any()
    group = results.groups()[0]
    clean, attacked = results.estimate(group, "clean", "top-1"), results.estimate(group, "pgd", "top-1")
    assert clean.n == attacked.n == 150
    assert clean.value is not None
    assert attacked.value is not None
    assert clean.value > 0.9
    assert attacked.value < clean.value
    (budget,) = results.budgets("classification")
    assert results.worst_case(group, "top-1", budget).value == pytest.approx(min(clean.value, attacked.value), abs=0.02)
    cost = results.cost(group, "pgd")
    assert cost is not None
    assert cost.radius == pytest.approx(0.1)
    assert cost.size <= 0.1 + 1e-6
    assert 1 <= cost.backwards <= 3
    assert outcome.exit_code == 0


def test_the_same_run_again_does_nothing(suite: Suite, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(suite, out)
    before = _written(out)
    again = run(suite, out)
    assert (first.reused, again.computed, again.reused) == (0, 0, first.computed)
    assert _written(out) == before


def _written(out: Path) -> dict[Path, tuple[int, bytes]]:
    """Every file of a run folder but the hashes of files read: one that was young when it was first read is settled later."""
    files = [p for p in out.rglob("*") if p.is_file() and p != RunFolder(out).file_hashes]
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


def test_two_folders_hold_the_same_bytes(suite: Suite, tmp_path: Path) -> None:
    run(suite, tmp_path / "a")
    run(suite, tmp_path / "b")
    assert records_of(tmp_path / "a") == records_of(tmp_path / "b")


def _keys(suite: Suite, **options: object) -> dict[tuple[str, int], str]:
    plan = make_plan(suite, Options(**options))  # type: ignore[arg-type]
    return {(c.row.condition, i): c.row.key for i, c in enumerate(plan.cells)}


def test_a_change_redoes_exactly_what_it_touches(tmp_path: Path) -> None:
    model, data = write_model(tmp_path), write_data(tmp_path)
    base = _keys(small_suite(model, data))
    assert _keys(small_suite(model, data)) == base

    def changed(other: dict[tuple[str, int], str]) -> set[str]:
        return {name for (name, i), key in other.items() if base[name, i] != key}

    both = {"clean", "pgd"}
    assert changed(_keys(small_suite(f"{model}(gain=21)", data))) == both
    assert changed(_keys(small_suite(model, data), seed=1)) == both
    stronger = small_suite(model, data)
    condition = msgspec.structs.replace(stronger.tracks[0].conditions[1], attack="pgd(eps=0.1, steps=4)")
    track = msgspec.structs.replace(stronger.tracks[0], conditions=(CLEAN, condition))
    assert changed(_keys(msgspec.structs.replace(stronger, tracks=(track,)))) == {"pgd"}
    write_model(tmp_path, after="scores = scores + 0")
    assert changed(_keys(small_suite(model, data))) == both
    write_model(tmp_path)
    assert changed(_keys(small_suite(model, data))) == set()
    arrays = dict(numpy.load(tmp_path / "data0.npz"))
    arrays["images"][140, 0, 0, 0] ^= 1
    numpy.savez(tmp_path / "data0.npz", **arrays)
    redone = [k for k, key in _keys(small_suite(model, data)).items() if base[k] != key]
    assert [name for name, _ in redone] == ["clean", "pgd"], "only the shard that holds the changed image, under each condition"


def test_a_surrogate_that_changes_redoes_what_was_transferred_from_it(suite: Suite, tmp_path: Path) -> None:
    """Its code and its weights: the victim's own cells stay."""
    code = tmp_path / "surrogate.py"
    code.write_text(MODEL.format(before="pass", after="pass").replace("gain=20.0", "gain=5.0"))
    transferred = Condition("transfer", attack=f"transfer(source='{code}:build', attack='fgsm(eps=0.1)')")
    suite = small_suite(suite.tracks[0].models[0], suite.tracks[0].datasets[0], transferred)
    base = _keys(suite)
    for before, after in (("gain=5.0", "gain=6.0"), ("scores = torch", "scores = 1 * torch")):
        code.write_text(code.read_text().replace(before, after))
        changed = _keys(suite)
        assert {name for (name, i), key in changed.items() if base[name, i] != key} == {"transfer"}
        base = changed
    weights = tmp_path / "lenet5.safetensors"
    spec = f"lenet5(checkpoint='{weights}')"
    transferred = Condition("transfer", attack=f'transfer(source="{spec}", attack="fgsm(eps=0.1)")')
    suite = small_suite(suite.tracks[0].models[0], suite.tracks[0].datasets[0], transferred)
    keys = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        write(weights, LeNet5(3), Description(architecture="lenet5", classes=CLASSES, input_size=(32, 32)))
        keys.append(_keys(suite))
    assert {name for (name, i), key in keys[1].items() if keys[0][name, i] != key} == {"transfer"}


@pytest.mark.parametrize("parts", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_at_any_moment_the_same_command_ends_in_the_same_bytes(suite: Suite, tmp_path: Path, parts: int) -> None:
    slow = write_model(tmp_path, before="import os, time; time.sleep(float(os.environ.get('SECONDS_A_CALL', 0)))")
    suite = small_suite(slow, suite.tracks[0].datasets[0])
    (tmp_path / "suite.json").write_bytes(msgspec.json.encode(suite))
    out = tmp_path / "killed"
    code = (
        "import msgspec, pathlib, sys\n"
        "from robustbench_cv.runner.plan import Options\n"
        "from robustbench_cv.runner.run import run_suite\n"
        "from robustbench_cv.suite import Suite\n"
        "suite = msgspec.json.decode(pathlib.Path(sys.argv[1]).read_bytes(), type=Suite)\n"
        "run_suite(suite, pathlib.Path(sys.argv[2]), Options())\n"
    )
    slowly = os.environ | {"SECONDS_A_CALL": "0.05"}  # time to kill it
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "suite.json"), str(out)], env=slowly)
    deadline = time.monotonic() + 120
    # counted by name: the run replaces the files of a condition by one while they are looked at
    there = (out / "records").rglob
    while time.monotonic() < deadline and process.poll() is None and not ((out / "run.json").exists() and _count(there) >= parts):
        time.sleep(0.01)
    time.sleep(0.2)
    assert process.poll() is None, "the run ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = len(cells_of(out))
    resumed = run(suite, out)
    assert resumed.reused == left
    assert resumed.computed == 6 - left > 0
    run(suite, tmp_path / "whole")
    assert records_of(out) == records_of(tmp_path / "whole")
    assert not list(out.rglob("*.partial")) or left < 6


def test_a_partial_part_is_never_read(suite: Suite, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(suite, out)
    whole = next((out / "records").rglob("clean/*.parquet"))
    whole.rename(whole.with_suffix(".partial"))
    assert len(Results.open(out).records) == 300 - 150
    assert run(suite, out).computed == 3


def test_a_condition_that_is_complete_is_one_file(suite: Suite, tmp_path: Path) -> None:
    out = tmp_path / "out"
    results = run(suite, out).results
    assert {path.parent.name: path.stem[:4] for path in (out / "records").rglob("*.parquet")} == {"clean": "all-", "pgd": "all-"}
    assert cells_of(out) == {cell.key for cell in results.run.cells}
    rows = results.rows(results.groups()[0], "clean")
    assert rows.samples.to_pylist() == sorted(rows.samples.to_pylist())


def test_a_kill_before_the_parts_are_put_together_loses_nothing(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as context:
        context.setattr("robustbench_cv.record_store.RecordStore.compact", lambda self, cells: None)
        before = run(suite, out).results.records
    assert len(list((out / "records").rglob("*.parquet"))) == 6
    again = run(suite, out)
    assert (again.computed, again.reused) == (0, 6)
    assert len(list((out / "records").rglob("*.parquet"))) == 2
    pandas.testing.assert_frame_equal(again.results.records, before)


def test_limit_takes_the_first_samples_and_reuses_whole_shards(suite: Suite, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(suite, out, limit=64).computed == 2
    more = run(suite, out, limit=128)
    assert (more.computed, more.reused) == (2, 2)
    assert len(more.results.records) == 256


def test_a_swapped_background_does_not_depend_on_how_many_samples_were_asked_for() -> None:
    swapped = Condition("swapped", ("swap-context(to='random', what='object')",))
    images: list[dict[str, torch.Tensor]] = []
    lent: list[set[int]] = []
    for samples, limit in ((None, 4), (None, 8), (6, None)):
        track = Track("classification", ("lenet5.scenes",), ("scenes(size=32)",), (CLEAN, swapped), ("top-1",), samples)
        plan = make_plan(Suite("swaps", 1, (track,)), Options(limit=limit))
        (cell,) = [c for c in plan.cells if c.condition.name == "swapped"]
        job = build_job(plan, cell, BatchSize(4))
        made = [condition_sample(job, i) for i in cell.indices]
        images.append({s.id: s.image for s in made if s is not None})
        lent.append(set(cell.pair.donors.settings))
    for one, other in itertools.combinations(images, 2):
        assert one.keys() & other.keys()
        assert all(torch.equal(one[id_], other[id_]) for id_ in one.keys() & other.keys())
    assert max(lent[0]) > 8  # from the whole of the data set


def test_output_that_is_not_finite_is_failed_and_not_a_score(tmp_path: Path) -> None:
    model = write_model(tmp_path, after="scores = torch.where((x[:, 0, 0, 0] > 0.9)[:, None], float('nan'), scores)")
    results = run(small_suite(model, write_data(tmp_path)), tmp_path / "out").results
    failed = results.records[results.records.status == "failed"]
    assert len(failed) > 0
    assert failed.reason.str.contains("not finite").all()
    assert (failed.evidence == {}).all()
    estimate = results.estimate(results.groups()[0], "clean", "top-1")
    assert estimate.excluded == (failed.condition == "clean").sum()
    assert estimate.n + estimate.excluded == 150


def test_a_run_searches_on_the_faster_twin(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    class Watched:
        def __init__(self, model: Any) -> None:
            self.info, self.decode, self.model = model.info, model.decode, model

        def raw(self, images: torch.Tensor, /) -> Any:
            searched.append(len(images))
            return self.model.raw(images)

    monkeypatch.setattr("robustbench_cv.runner.attack_search.fold", lambda model, example: Watched(model))
    run(suite, tmp_path / "out", limit=16)
    assert max(searched) > 1


def test_out_of_memory_halves_the_batch_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hungry = write_model(tmp_path, before="if len(x) > 9: raise torch.OutOfMemoryError('no room')")
    suite = small_suite(hungry, write_data(tmp_path))
    with_checks_off = make_plan(suite, Options())
    from robustbench_cv.batching import BatchSize
    from robustbench_cv.runner.cell import run_cell
    from robustbench_cv.runner.job import build_job

    size = BatchSize()
    output = run_cell(build_job(with_checks_off, with_checks_off.cells[0], size))
    assert all(r.status == "ok" for r in output.records)
    assert size.at(12, 12) == 8
    assert "going on with 8" in caplog.text
    never = write_model(tmp_path, before="raise torch.OutOfMemoryError('no room')")
    plan = make_plan(small_suite(never, write_data(tmp_path)), Options())
    with pytest.raises(UserError, match="one image does not fit"):
        run_cell(build_job(plan, plan.cells[0], BatchSize()))


def test_bad_samples_stop_the_run_or_are_recorded(tmp_path: Path) -> None:
    from PIL import Image

    for name, value in (("dark", 30), ("bright", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (10 + i, 9), (value, value, value)).save(tmp_path / "images" / name / f"{i}.png")
    broken = tmp_path / "images" / "dark" / "2.png"
    broken.write_bytes(broken.read_bytes()[:40])
    suite = small_suite(write_model(tmp_path), f"folder:{tmp_path / 'images'}")
    with pytest.raises(UserError, match=r"2\.png"):
        run(suite, tmp_path / "out")
    results = run(suite, tmp_path / "out", skip_bad=True).results
    failed = results.records[results.records.status == "failed"]
    assert len(failed) == 2
    assert failed.reason.str.contains("2.png").all()
    assert results.estimate(results.groups()[0], "clean", "top-1").n == 7


def test_gates_decide_the_exit_code_on_intervals(tmp_path: Path) -> None:
    model, data = write_model(tmp_path), write_data(tmp_path)

    def code(bound: float) -> int:
        return run(small_suite(model, data, gates=(Gate("top-1", "pgd", bound),)), tmp_path / "out").exit_code

    value = run(small_suite(model, data), tmp_path / "out").results
    estimate = value.estimate(value.groups()[0], "pgd", "top-1")
    assert estimate.low is not None
    assert estimate.high is not None
    assert [code(max(0, estimate.low - 0.01)), code((estimate.low + estimate.high) / 2), code(estimate.high + 0.01)] == [0, 3, 1]
    with pytest.raises(UserError, match=r"the bound 75, but top-1 goes from 0 to 1; for 75 % write 0\.75"):
        code(75)


def test_a_gate_of_a_model_that_is_not_in_the_run_is_refused(tmp_path: Path) -> None:
    suite = small_suite(write_model(tmp_path), write_data(tmp_path), gates=(Gate("top-1", "clean", 0.5, "tiney"),))
    with pytest.raises(UserError, match="is for 'tiney', which is not in this run"):
        run(suite, tmp_path / "out")
    assert not list((tmp_path / "out").glob("**/*.parquet"))


def test_pictures_are_saved_losslessly_with_predictions(suite: Suite, tmp_path: Path) -> None:
    results = run(suite, tmp_path / "out").results
    pictures = results.pictures()
    assert {p.condition for p in pictures} == {"clean", "pgd"}
    attacked = [p for p in pictures if p.condition == "pgd"]
    assert len(attacked) == 8
    for picture in attacked:
        assert picture.before.read_bytes() != picture.after.read_bytes()
        assert set(picture.after_prediction) == {"label", "score"}


def test_run_info_can_repeat_the_run(suite: Suite, tmp_path: Path) -> None:
    run(suite, tmp_path / "out")
    info = json.loads((tmp_path / "out" / "run.json").read_text())
    assert info["versions"]["torch"] == torch.__version__.partition("+")[0] or info["versions"]["torch"] == torch.__version__
    assert len(info["models"][0]["weights_sha256"]) == 64
    assert info["datasets"][0]["n"] == 150
    assert "dark" in info["pairings"][0]["class_map"]


def test_a_model_without_a_track_is_refused(suite: Suite, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no segmentation track"):
        run(suite, tmp_path / "out", models=("unet(classes='a,b', width=4)",))


def test_only_the_middle_step_of_an_edits_curve_is_pictured() -> None:
    steps = tuple(Condition(f"occluded {k}", (f"occlude(share=0.{k})",), severity=k / 10, curve="occlusion") for k in range(1, 6))
    attacked = tuple(Condition(f"pgd {k}", attack=f"pgd(eps=0.0{k})", severity=k / 100, curve="pgd") for k in (1, 2))
    alone = Condition("removed", ("remove()",))
    assert _shown_in_pictures((CLEAN, *steps, *attacked, alone)) == {"clean", "occluded 3", "pgd 1", "pgd 2", "removed"}
