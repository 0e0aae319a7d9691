"""init writes a suite that is one, for each task, and never over what is there."""

from pathlib import Path

import pytest

from robustbench_cv.cli import main
from robustbench_cv.starter_suite import starter
from robustbench_cv.suite_files import problems, read_suite
from robustbench_cv.tasks import TASKS, Task


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert isinstance(done.value.code, int)
    return done.value.code


@pytest.mark.parametrize("task", TASKS)
def test_a_starter_is_a_suite_without_a_mistake(task: Task, tmp_path: Path) -> None:
    model, data = "mine.py:build(size=3, name='a: \"b\" # c')", "folder:photos #1 (new)"
    (tmp_path / "mine.py").write_text("")
    path = tmp_path / "first.yaml"
    path.write_text(starter("first", task, model.replace("mine.py", str(tmp_path / "mine.py")), data))
    assert problems(path) == []
    (track,) = read_suite(path).tracks
    assert (track.task, track.datasets) == (task, (data,))
    assert track.models[0].endswith(model.removeprefix("mine.py"))
    assert sum(c.attack is not None for c in track.conditions) >= 3


def test_the_gates_that_are_commented_out_are_gates(tmp_path: Path) -> None:
    for task in TASKS:
        text = starter("first", task, "lenet5", "scenes").replace("gates: []\n", "").replace("# gates:", "gates:").replace("# - {", "- {")
        (tmp_path / "first.yaml").write_text(text)
        assert len(read_suite(tmp_path / "first.yaml").gates) == 2


def test_it_writes_a_suite_that_runs_and_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["init", "--model", "lenet5.scenes", "--data", "scenes", "--device", "cpu"]
    assert call(*arguments, "--no-doctor") == 0
    assert "written: robustbench.yaml. Next: robustbench-cv run robustbench.yaml limit=32" in capsys.readouterr().out
    written = Path("robustbench.yaml").read_bytes()
    assert call("run", "robustbench.yaml", "limit=2", "--dry-run", "--device", "cpu") == 0
    assert "lenet5.scenes" in capsys.readouterr().out
    Path("robustbench.yaml").write_bytes(written + b"# mine\n")
    assert call(*arguments, "--no-doctor") == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err
    assert Path("robustbench.yaml").read_bytes() == written + b"# mine\n"
    assert call(*arguments, "--no-doctor", "--force") == 0
    assert Path("robustbench.yaml").read_bytes() == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "lenet6", "--data", "scenes"], "did you mean 'lenet5'"),
        (["--model", "lenet5.scenes", "--data", "scens"], "did you mean 'scenes'"),
        (["--model", "lenet5.scenes"], "--data is missing, and nobody is there to be asked: write --data folder:PATH, --data coco:PATH"),
        (["--data", "scenes"], '--model is missing, and nobody is there to be asked: write --model "timm:resnet18(pretrained=True)"'),
        (["--model", "lenet5.scenes", "--data", "scenes", "--out", "a.txt"], "a suite is a YAML file; name it a.yaml"),
        (["--model", "facenet", "--data", "scenes"], "a suite is for classification, segmentation, detection"),
    ],
)
def test_a_slip_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("init", *arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
