"""Runs that something disturbs: models and data that change, kills, damaged files, gates and samples that were passed over in silence."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy
import pytest
from PIL import Image

from robustbench_cv.errors import UserError
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.record_store import RecordStore
from robustbench_cv.results import Results
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner import stored_cell
from robustbench_cv.runner.cell import CellOutput, run_cell
from robustbench_cv.runner.changed_inputs import require_unchanged
from robustbench_cv.runner.dependencies import Dependencies
from robustbench_cv.runner.job import Job
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import Outcome, run_suite
from robustbench_cv.suite import CLEAN, Condition, Gate, Suite, Track

MODEL = '''
from pathlib import Path
import torch
from torch import nn
from robustbench_cv.models.adapt import classifier, segmenter
from robustbench_cv.types import Labels

CLASSES = Labels(("dark", "bright"))


class Tiny(nn.Module):
    """Dark or bright, by a threshold that is no parameter."""

    def __init__(self, threshold=0.5, pixels=False):
        super().__init__()
        self.threshold, self.pixels = threshold, pixels

    def forward(self, x):
        bright = (x.mean(1) if self.pixels else x.mean((1, 2, 3))) - self.threshold
        return torch.stack([-bright, bright], dim=1) * 20


def build(name="tiny"):
    return classifier(Tiny(float((Path(__file__).parent / "threshold.txt").read_text())), name=name, classes=CLASSES)


def masks():
    return segmenter(Tiny(pixels=True), name="tiny", classes=CLASSES)
'''


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "threshold.txt").write_text("0.5")
    rng = numpy.random.default_rng(0)
    for i in range(12):
        kind, level = ("bright", 170) if i % 2 else ("dark", 80)
        pixels = numpy.clip(rng.normal(level, 30, (8, 8, 3)), 0, 255).astype(numpy.uint8)
        path = tmp_path / "images" / kind / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    conditions = (CLEAN, Condition("pgd", attack="pgd(eps=0.05, steps=2)"))
    track = Track("classification", (f"{tmp_path / 'model.py'}:build",), (f"folder:{tmp_path / 'images'}",), conditions, ("top-1",))
    return Suite("small", 1, (track,), reports=("main-table",), strength=0)


def run(suite: Suite, out: Path, **options: object) -> Outcome:
    return run_suite(suite, out, Options(**options))  # type: ignore[arg-type]


def with_track(suite: Suite, **changes: object) -> Suite:
    return msgspec.structs.replace(suite, tracks=(msgspec.structs.replace(suite.tracks[0], **changes),))


def accuracy(outcome: Outcome) -> float | None:
    return outcome.results.estimate(outcome.results.groups()[0], "clean", "top-1").value


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: object, *, before: bool = False) -> None:
    """Let something happen around each cell's computation."""

    def disturbed(job: Job) -> CellOutput:
        if before:
            happens()  # type: ignore[operator]
        output = run_cell(job)
        if not before:
            happens()  # type: ignore[operator]
        return output

    monkeypatch.setattr(stored_cell, "run_cell", disturbed)


def test_a_config_that_a_model_reads_is_noticed(suite: Suite, tmp_path: Path) -> None:
    first = run(suite, tmp_path / "out")
    assert accuracy(first) == 1.0
    (tmp_path / "threshold.txt").write_text("0.9")
    second = run(suite, tmp_path / "out")
    assert (second.computed, second.reused) == (2, 0)
    assert accuracy(second) == 0.5
    (tmp_path / "threshold.txt").write_text("0.5")
    again = run(suite, tmp_path / "out")
    assert (again.computed, again.reused) == (0, 2)
    assert accuracy(again) == 1.0


def test_data_that_changes_in_mid_run_is_not_stored(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "images" / "dark" / "4.png"
    original = image.read_bytes()
    with monkeypatch.context() as context:
        meanwhile(context, lambda: Image.new("RGB", (8, 8), (250, 250, 250)).save(image), before=True)
        with pytest.raises(UserError, match=r"dark/4\.png' of data 'images' changed while the run was going on"):
            run(suite, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.parquet"))
    image.write_bytes(original)
    assert accuracy(run(suite, tmp_path / "out")) == 1.0


def test_a_donor_that_changes_in_mid_run_is_named() -> None:
    def dataset(name: str, **fingerprints: str) -> Any:
        return SimpleNamespace(name=name, ids=list(fingerprints), fingerprint=lambda i: list(fingerprints.values())[i])

    def cell(lent: list[tuple[str, str]]) -> Any:
        pair = SimpleNamespace(dataset=dataset("few", a="1"), donors=Donors(dataset("whole", c="4", a="1", b="2")), fingerprint_of={0: "1"})
        return SimpleNamespace(pair=pair, indices=(0,), lent=lent, code=Dependencies())

    require_unchanged(cell([("b", "2"), ("c", "4")]))
    with pytest.raises(UserError, match="sample 'c' of data 'whole' changed"):
        require_unchanged(cell([("b", "2"), ("c", "3")]))


def test_code_that_is_edited_in_mid_run_is_not_stored(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.py"
    with monkeypatch.context() as context:
        meanwhile(context, lambda: path.write_text(MODEL + "\n# a remark\n"))
        run(suite, tmp_path / "out", limit=4)
        meanwhile(context, lambda: path.write_text(MODEL.replace("- self.threshold", "- 0.9")))
        with pytest.raises(UserError, match=r"model\.py was edited while the run was going on"):
            run(suite, tmp_path / "out")
    assert accuracy(run(suite, tmp_path / "out")) == 0.5


def test_after_a_kill_nothing_is_concluded_from_the_run_before(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = RunFolder(tmp_path / "out")
    run(suite, out.root)
    assert out.findings.exists()
    assert out.summary.exists()
    (tmp_path / "threshold.txt").write_text("0.9")

    def killed() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        meanwhile(context, killed)
        with pytest.raises(KeyboardInterrupt):
            run(suite, out.root)
    left = Results.open(out.root)
    assert left.findings == ()
    assert len(left.records) == 0
    assert not out.summary.exists()
    assert not out.report.exists()
    assert run(suite, out.root).computed == 2


@pytest.mark.parametrize("what", ["part", "findings", "check", "index", "run"])
def test_a_damaged_file_counts_as_missing(what: str, suite: Suite, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = RunFolder(tmp_path / "out")
    before = run(suite, out.root)
    key = before.results.run.cells[0].key
    check = next(p for p in (out.root / "checks").iterdir() if not p.name.startswith("strength"))
    part = RecordStore(out).part(before.results.run.cells[0])
    path = {"part": part, "findings": out.findings, "check": check, "index": out.image_index(key), "run": out.run_info}[what]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    if what in ("part", "findings", "run"):
        with pytest.raises(UserError, match="damaged"):
            len(Results.open(out.root).records)
    again = run(suite, out.root)
    assert str(path) in caplog.text
    assert again.computed == (what in ("part", "index"))
    assert again.results.records.equals(before.results.records)
    assert again.results.findings == before.results.findings
    assert what == "run" or path.read_bytes() == whole


def test_without_skip_bad_a_run_does_not_live_on_what_skip_bad_left(suite: Suite, tmp_path: Path) -> None:
    broken = tmp_path / "images" / "dark" / "2.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    skipped = run(suite, tmp_path / "out", skip_bad=True)
    assert (skipped.results.records.reason_code == "unreadable").sum() == 2
    with pytest.raises(UserError, match=r"2\.png"):
        run(suite, tmp_path / "out")
    assert run(suite, tmp_path / "out", skip_bad=True).computed == 0
    broken.write_bytes(whole)
    assert run(suite, tmp_path / "out", skip_bad=True).computed == 2
    assert run(suite, tmp_path / "out").computed == 0, "nothing was skipped: the same records"


def test_a_suites_number_of_samples_holds_for_every_reader(suite: Suite, tmp_path: Path) -> None:
    four = with_track(suite, samples=4)
    assert len(run(four, tmp_path / "out").results.records) == 8
    assert len(run(four, tmp_path / "out", limit=6).results.records) == 12
    labels = numpy.arange(9) % 2
    images = (
        numpy.random.default_rng(0).integers(0, 120, (9, 8, 8, 3), numpy.uint8) + (130 * labels).astype(numpy.uint8)[:, None, None, None]
    )
    numpy.savez(tmp_path / "d.npz", images=images, labels=labels, classes=numpy.array(["dark", "bright"]))
    arrays = with_track(four, datasets=(f"npz:{tmp_path / 'd.npz'}",))
    assert len(run(arrays, tmp_path / "npz").results.records) == 8


def test_a_gate_for_a_model_that_is_not_there_is_an_error(suite: Suite, tmp_path: Path) -> None:
    def gated(name: str) -> Suite:
        return msgspec.structs.replace(suite, gates=(Gate("top-1", "clean", 0.5, name),))

    with pytest.raises(UserError, match="is for 'tinny', which is not in this run"):
        run(gated("tinny"), tmp_path / "out")
    assert run(gated("tiny"), tmp_path / "out").exit_code in (0, 3)
    own = f"{tmp_path / 'model.py'}:build(name='other')"
    with pytest.raises(UserError, match="'tinny'"):
        run(gated("tinny"), tmp_path / "out", models=(own,))


def test_two_models_of_one_name_in_two_tasks_are_told_apart(suite: Suite, tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / "pixels" / part).mkdir(parents=True)
    for i, path in enumerate(sorted((tmp_path / "images").rglob("*.png"))[:4]):
        shutil.copy(path, tmp_path / "pixels" / "images" / f"{i}.png")
        grey = numpy.asarray(Image.open(path)).mean(2)
        Image.fromarray((grey > 127.5).astype(numpy.uint8)).save(tmp_path / "pixels" / "masks" / f"{i}.png")
    (tmp_path / "pixels" / "classes.txt").write_text("dark\nbright\n")
    second = Track("segmentation", (f"{tmp_path / 'model.py'}:masks",), (f"masks:{tmp_path / 'pixels'}",), (CLEAN,), ("miou",))
    both = msgspec.structs.replace(suite, tracks=(*suite.tracks, second))
    results = run(both, tmp_path / "out").results
    assert [(m.name, m.task) for m in results.run.models] == [("tiny", "classification"), ("tiny", "segmentation")]
    assert {(f.check, f.verdict) for f in results.findings if f.check == "S14"} == {("S14", "pass")}
    for group in results.groups():
        found = results.estimate(group, "clean", results.metrics(group.task)[0])
        assert found.value == pytest.approx(1.0, abs=0.02)
