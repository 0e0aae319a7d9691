"""Checks around real runs: what a stop blocks, what the command line answers, and what is found in a run folder afterwards."""

import re
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from robustbench_cv.catalogue import CHECKS, DATASETS
from robustbench_cv.check_findings import STRENGTH
from robustbench_cv.checks.check import AfterRun, Finding
from robustbench_cv.cli import main
from robustbench_cv.kept_files import read_kept, write_kept
from robustbench_cv.models.build import build
from robustbench_cv.results import Results
from robustbench_cv.runner.plan import Options
from robustbench_cv.runner.run import EXIT_CHECK, EXIT_PASS, Outcome, run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import Candidates, ModelInfo
from tests.checked_models import Tiny

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
        x = {change}
        red, rest = x[:, 0].mean((1, 2)), x[:, 1:].mean((1, 2, 3))
        return torch.stack([0.4 - rest - red, rest - 0.4, red - rest], dim=1) * self.gain


def build(gain=20.0):
    return classifier(Tiny(gain), name="{name}", classes=Labels(("dark", "bright", "red")))
'''


def write_model(folder: Path, change: str = "x", name: str = "tiny") -> str:
    path = folder / f"{name}.py"
    path.write_text(MODEL.format(change=change, name=name))
    return f"{path}:build"


@pytest.fixture
def data(tmp_path: Path) -> str:
    rng = numpy.random.default_rng(0)
    labels = rng.integers(0, 3, 64)
    colours = numpy.array([[40, 40, 40], [180, 180, 180], [200, 40, 40]])[labels]
    images = numpy.clip(colours[:, None, None] + rng.normal(0, 45, (64, 12, 12, 3)), 0, 255).astype(numpy.uint8)
    numpy.savez(tmp_path / "data.npz", images=images, labels=labels, classes=numpy.array(CLASSES))
    return f"npz:{tmp_path / 'data.npz'}"


def suite_of(model: str, data: str, *conditions: Condition) -> Suite:
    attack = Condition("pgd", attack="pgd(eps=0.05, steps=2)")
    return Suite("small", 1, (Track("classification", (model,), (data,), (CLEAN, attack, *conditions), ("top-1",)),), reports=("checks",))


def run(suite: Suite, out: Path, **options: Any) -> Outcome:
    return run_suite(suite, out, Options(**options))


def found(results: Results, check: str) -> list[Finding]:
    return [f for f in results.findings if f.check == check]


def test_a_right_run_passes_before_and_after(data: str, tmp_path: Path) -> None:
    outcome = run(suite_of(write_model(tmp_path), data), tmp_path / "out")
    assert outcome.exit_code == EXIT_PASS
    assert [f.verdict for f in found(outcome.results, "S14")] == ["pass"]
    assert "16 saved images of 2 cells" in found(outcome.results, "S14")[0].evidence
    after = [f for f in outcome.results.findings if f.title == STRENGTH]
    assert [(f.check, f.condition, f.verdict) for f in after] == [("S10", "pgd", "pass")]


def test_a_stop_before_a_run_blocks_the_pair_and_no_other(data: str, tmp_path: Path) -> None:
    wrong, right = write_model(tmp_path, "x.flip(1)", "wrong"), write_model(tmp_path)
    suite = suite_of(wrong, data)
    track = replace_models(suite.tracks[0], (wrong, right))
    outcome = run(Suite("small", 1, (track,), reports=("checks",)), tmp_path / "out")
    results = outcome.results
    assert outcome.exit_code == EXIT_CHECK
    assert outcome.computed == 2, "the cells of the model that is right"
    bad, good = results.groups()
    assert results.stop_reason(bad, "clean") == "S21 channel order"
    blocked = results.estimate(bad, "pgd", "top-1")
    assert (blocked.value, blocked.low, blocked.high) == (None, None, None)
    assert "blocked: S21" in blocked.reason
    assert results.stop_reason(good, "clean") is None
    assert results.estimate(good, "clean", "top-1").n == 64


def replace_models(track: Track, models: tuple[str, ...]) -> Track:
    return Track(track.task, models, track.datasets, track.conditions, track.metrics)


def _code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


def test_the_command_line_answers_4(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    wrong, right = write_model(tmp_path, "x.flip(1)", "wrong"), write_model(tmp_path)
    assert _code(["doctor", "--model", right, "--data", data, "--device", "cpu"]) == 0
    assert "no check objects" in capsys.readouterr().out
    assert _code(["doctor", "--model", wrong, "--data", data, "--device", "cpu"]) == EXIT_CHECK
    shown = capsys.readouterr().out
    assert re.search(r"S21 channel order +stop +red and blue swapped", shown)
    assert shown.index("S21") < shown.index("S01"), "the stop comes first"
    assert "x.flip(1)" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())

    suite = tmp_path / "suite.yaml"
    conditions = "[{name: clean}]"
    suite.write_text(
        f"name: own\nversion: 1\nreports: [checks]\ntracks:\n- task: classification\n  models: ['{wrong}']\n  datasets: ['{data}']\n"
        f"  conditions: {conditions}\n  metrics: [top-1]\n"
    )
    assert _code(["run", str(suite), "--out", str(tmp_path / "out"), "--device", "cpu"]) == EXIT_CHECK
    assert "STOP S21" in capsys.readouterr().out
    assert {path.parent.name for path in (tmp_path / "out").rglob("*.parquet")} <= {"report"}  # no record


def _tamper(out: Path, condition: str, change: Any) -> Path:
    cell = next(c for c in Results.open(out).run.cells if c.condition == condition)
    folder = out / "images" / cell.key
    change(folder)
    return folder


def _invert_exact(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "exact.safetensors")
    safetensors.torch.save_file({k: 1 - v for k, v in tensors.items()}, folder / "exact.safetensors")


def _paint_png(folder: Path) -> None:
    Image.new("RGB", (12, 12), (1, 2, 3)).save(folder / "2-after.png")


def _rewrite_label(folder: Path) -> None:
    index = read_kept(folder / "index.json", list[dict[str, Any]])
    index[1]["after"]["prediction"]["label"] = (index[1]["after"]["prediction"]["label"] + 1) % 3
    write_kept(folder / "index.json", index)


@pytest.mark.parametrize("change", [_invert_exact, _paint_png, _rewrite_label])
def test_a_saved_image_that_was_changed_blocks_its_condition(change: Any, data: str, tmp_path: Path) -> None:
    suite, out = suite_of(write_model(tmp_path), data), tmp_path / "out"
    first = run(suite, out).results
    group = first.groups()[0]
    assert first.estimate(group, "pgd", "top-1").value is not None
    _tamper(out, "pgd", change)
    again = run(suite, out)
    assert (again.computed, again.exit_code) == (0, EXIT_CHECK)
    stop = [f for f in found(again.results, "S14") if f.verdict == "stop"]
    assert [f.condition for f in stop] == ["pgd"]
    assert "run again" in stop[0].remedy
    assert "blocked: S14" in again.results.estimate(group, "pgd", "top-1").reason
    assert again.results.estimate(group, "clean", "top-1").value is not None


def test_other_weights_than_the_runs_are_found(data: str, tmp_path: Path) -> None:
    spec, out = write_model(tmp_path), tmp_path / "out"
    results = run(suite_of(spec, data), out).results
    check = CHECKS.build("s14-saved-images")
    name = results.groups()[0].model
    assert [f.verdict for f in check(AfterRun(results, {("classification", name): build(spec)}))] == ["pass"]
    other = build(f"{spec}(gain=-20)")
    assert {f.verdict for f in check(AfterRun(results, {("classification", name): other}))} == {"stop"}
    assert [f.verdict for f in check(AfterRun(results, {}))] == ["not applicable"]


PAIR = """
import torch
from torch import nn
from robustbench_cv.catalogue import DATASETS
from robustbench_cv.models.adapt import classifier, segmenter


class Colour(nn.Module):
    def __init__(self, classes, spatial):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 3 * classes).reshape(classes, 3, 1, 1))
        self.spatial = spatial

    def forward(self, x):
        scores = nn.functional.conv2d(x, self.weight)
        return scores if self.spatial else scores.mean((2, 3)).softmax(1)


def build(task="classification"):
    labels = DATASETS.build("scenes(samples=1)", task=task).labels
    adapt = segmenter if task == "segmentation" else classifier
    return adapt(Colour(len(labels), task == "segmentation").eval(), name="colour", classes=labels)
"""


def test_models_of_one_name_in_two_tasks_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "pair.py").write_text(PAIR)
    tracks = tuple(
        Track(task, (f"{tmp_path / 'pair.py'}:build(task={task!r})",), ("scenes(size=32, samples=4)",), (CLEAN,), (metric,))
        for task, metric in (("classification", "top-1"), ("segmentation", "pixel-accuracy"))
    )
    results = run(Suite("two", 1, tracks, reports=("checks",)), tmp_path / "out").results
    probabilities, scores = results.groups()
    assert (probabilities.model, probabilities.dataset) == (scores.model, scores.dataset)
    assert [len(results.model_row(g).classes) for g in results.groups()] == [10, 22]
    assert results.stop_reason(probabilities, "clean") == "S04 logits, not probabilities"
    assert results.stop_reason(scores, "clean") is None, "what is said of the other task's model is not said of this one"
    assert results.estimate(scores, "clean", "pixel-accuracy").n == 4
    assert [f.verdict for f in found(results, "S14")] == ["pass"]


def test_an_attack_without_a_gradient_is_blocked_and_the_clean_number_is_not(data: str, tmp_path: Path) -> None:
    results = run(suite_of(write_model(tmp_path, "(x * 255).round() / 255"), data), tmp_path / "out").results
    group = results.groups()[0]
    assert [f.verdict for f in found(results, "S09") if not f.condition] == ["warn"]
    assert [(f.condition, f.verdict) for f in found(results, "S09") if f.condition] == [("pgd", "stop")]
    assert "blocked: S09" in results.estimate(group, "pgd", "top-1").reason
    assert results.estimate(group, "clean", "top-1").value is not None


class Nothing(Tiny):
    """A detector of Scenes' classes that reports nothing."""

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            name="nothing", task="detection", classes=DATASETS.build("scenes(samples=1)", task="detection").labels, weights_sha256="0" * 64
        )

    def raw(self, images: Tensor, /) -> Candidates:
        n, classes = len(images), len(self.info.classes)
        score = images.mean((1, 2, 3))[:, None, None].expand(n, 1, classes) - 9
        return Candidates(images.new_tensor([[[4.0, 4, 20, 20]]]).expand(n, 1, 1, 4), score, torch.ones(n, 1, dtype=torch.bool))


def _removal(metrics: tuple[str, ...], out: Path) -> Outcome:
    removed = Condition("class removed", ("remove(what='random-class', fill='mean')",))
    swapped = Condition("context gray", ("swap-context(to='gray')",))
    track = Track("detection", ("nothing",), ("scenes(size=48, samples=6)",), (CLEAN, removed, swapped), metrics)
    return run(Suite("removal", 1, (track,), reports=("checks",)), out, models=(Nothing("detection"),))


def test_average_precision_alone_may_not_judge_a_removal(tmp_path: Path) -> None:
    alone = _removal(("ap",), tmp_path / "alone")
    assert alone.exit_code == EXIT_CHECK
    stops = [f for f in found(alone.results, "S25") if f.verdict == "stop"]
    assert [f.condition for f in stops] == ["class removed"]
    assert "hallucination-rate" in stops[0].remedy
    group = alone.results.groups()[0]
    assert alone.results.stop_reason(group, "class removed") is not None
    assert alone.results.stop_reason(group, "clean") is None
    assert alone.results.stop_reason(group, "context gray") is None
    beside = _removal(("ap", "hallucination-rate"), tmp_path / "beside")
    assert beside.exit_code == EXIT_PASS
    after = [f for f in found(beside.results, "S25") if f.condition]
    assert [(f.condition, f.verdict) for f in after] == [("class removed", "pass")]
    assert "0 still show a removed class" in after[0].evidence
